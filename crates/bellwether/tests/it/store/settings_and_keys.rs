//! Settings and API keys.

use bellwether::domain::id::KeyId;
use bellwether::domain::key::{ApiKey, Role};
use bellwether::store::{StoreError, keys, settings};
use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;

use super::{at, read, write};

async fn settings_are_written_over(database: Database) {
    let db = database.open().await;
    assert_eq!(read(&db, |tx| settings::get(tx, "a")).await.unwrap(), None);
    write(&db, |tx| settings::set(tx, "a", "1")).await.unwrap();
    write(&db, |tx| settings::set(tx, "a", "$1 ? ''")).await.unwrap();
    assert_eq!(read(&db, |tx| settings::get(tx, "a")).await.unwrap().as_deref(), Some("$1 ? ''"));
}

fn key(id: u128, role: Role) -> ApiKey {
    ApiKey {
        id: KeyId::of(id),
        name: format!("key {id}"),
        role,
        hash: vec![0, 255, 7],
        created_at: at(5),
        expires_at: id.is_multiple_of(2).then(|| at(99)),
        last_used_at: None,
    }
}

fn shown(key: &ApiKey) -> (KeyId, String, Role, Vec<u8>, Option<i64>, Option<i64>) {
    let micros = |time: Option<bellwether::domain::clock::Timestamp>| time.map(|time| time.as_micros());
    (key.id, key.name.clone(), key.role, key.hash.clone(), micros(key.expires_at), micros(key.last_used_at))
}

async fn keys_are_found_noted_and_revoked(database: Database) {
    let db = database.open().await;
    assert!(!read(&db, |tx| keys::has_admin(tx, at(1))).await.unwrap());
    for (id, role) in [(1, Role::Read), (2, Role::Write), (3, Role::Admin)] {
        write(&db, move |tx| keys::insert(tx, &key(id, role))).await.unwrap();
    }
    assert!(read(&db, |tx| keys::has_admin(tx, at(1))).await.unwrap());
    let found = read(&db, |tx| keys::get(tx, KeyId::of(2))).await.unwrap().unwrap();
    assert_eq!(shown(&found), shown(&key(2, Role::Write)));
    let twice = write(&db, |tx| keys::insert(tx, &key(2, Role::Read))).await.unwrap_err();
    assert!(matches!(twice, StoreError::Unique(_)), "{twice:?}");

    write(&db, |tx| keys::note_use(tx, KeyId::of(2), at(77))).await.unwrap();
    let page = read(&db, |tx| keys::list(tx, &KeyId::of(1).to_string(), 1)).await.unwrap();
    assert_eq!(page.iter().map(|key| (key.id, key.last_used_at)).collect::<Vec<_>>(), [(KeyId::of(2), Some(at(77)))]);
    assert_eq!(read(&db, |tx| keys::list(tx, "", 9)).await.unwrap().len(), 3);

    assert!(write(&db, |tx| keys::revoke(tx, KeyId::of(3), at(80))).await.unwrap());
    assert!(!write(&db, |tx| keys::revoke(tx, KeyId::of(3), at(81))).await.unwrap(), "once");
    assert!(!write(&db, |tx| keys::revoke(tx, KeyId::of(9), at(81))).await.unwrap(), "there is none");
    assert!(read(&db, |tx| keys::get(tx, KeyId::of(3))).await.unwrap().is_none());
    assert!(!read(&db, |tx| keys::has_admin(tx, at(1))).await.unwrap());
    assert_eq!(read(&db, |tx| keys::list(tx, "", 9)).await.unwrap().len(), 2);
    write(&db, |tx| keys::insert(tx, &key(4, Role::Admin))).await.unwrap();
    assert!(read(&db, |tx| keys::has_admin(tx, at(98))).await.unwrap());
    assert!(!read(&db, |tx| keys::has_admin(tx, at(99))).await.unwrap(), "it has expired");
}

on_both!(settings_are_written_over, keys_are_found_noted_and_revoked);
