//! Endpoints. URL, headers and secrets are kept encrypted; every change of any endpoint makes a new generation, by which copies in
//! memory are told to be old.

use super::engine::tolerant;
use super::engine::tolerant::Kept;
use super::engine::value::{to_json, to_kept_json};
use super::{Row, StoreError, Tx, query_as, query_one, settings};
use crate::domain::endpoint::{Endpoint, EndpointState, Settings};
use crate::domain::id::{EndpointId, Ids, LaneNumber};
use crate::domain::signing::{Keys, Signing};
use crate::params;
use crate::platform::secret::{Vault, VaultError};

/// Who wants which events.
#[derive(Debug, Clone)]
pub struct Subscription {
    pub endpoint: EndpointId,
    pub lane: LaneNumber,
    pub settings: Settings,
}

const COLUMNS: &str =
    "id, url, secret, headers, tls, signing, settings, state, disabled_reason, version, created_at, updated_at";

/// The column whose unknown fields are kept.
const SETTINGS: &str = "endpoints.settings";

impl From<VaultError> for StoreError {
    fn from(error: VaultError) -> Self {
        Self::Failed(error.to_string())
    }
}

fn open(vault: &Vault, row: &Row, column: &'static str, id: EndpointId) -> Result<Option<String>, StoreError> {
    let Some(sealed) = row.get::<Option<Vec<u8>>>(column)? else { return Ok(None) };
    let bytes = vault.open(&place(column, id), &sealed).map_err(|error| row.corrupt(column, error.to_string()))?;
    String::from_utf8(bytes).map(Some).map_err(|error| row.corrupt(column, error.to_string()))
}

fn open_json<T: serde::de::DeserializeOwned>(
    vault: &Vault,
    row: &Row,
    column: &'static str,
    id: EndpointId,
) -> Result<Option<T>, StoreError> {
    let text = open(vault, row, column, id)?;
    let parse = |text: String| tolerant::parse(&text).map(|(value, _)| value);
    text.map(|text| parse(text).map_err(|error| row.corrupt(column, error.to_string()))).transpose()
}

fn place(column: &str, id: EndpointId) -> String {
    format!("endpoints.{column}/{id}")
}

fn decode(vault: &Vault, row: &Row) -> Result<Endpoint, StoreError> {
    decode_kept(vault, row).map(|(endpoint, _)| endpoint)
}

fn decode_kept(vault: &Vault, row: &Row) -> Result<(Endpoint, Option<Kept>), StoreError> {
    let id = row.get("id")?;
    let (mut settings, kept): (Settings, _) = row.kept_json("settings")?;
    settings.url = open(vault, row, "url", id)?.unwrap_or_default();
    settings.headers = open_json(vault, row, "headers", id)?.unwrap_or_default();
    settings.tls = open_json(vault, row, "tls", id)?;
    // Endpoints of the first version have their secret and nothing else.
    let secret = open(vault, row, "secret", id)?.unwrap_or_default();
    let signing = open_json(vault, row, "signing", id)?;
    let endpoint = Endpoint {
        id,
        settings,
        signing: signing.unwrap_or_else(|| Signing::with(Keys { secret, seed: None })),
        state: row.word("state", EndpointState::parse)?,
        disabled_reason: row.get("disabled_reason")?,
        version: row.get("version")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    };
    Ok((endpoint, kept))
}

/// Writes an endpoint, new or not, and makes a new generation.
pub fn save(tx: &mut dyn Tx, vault: &Vault, ids: &dyn Ids, endpoint: &Endpoint) -> Result<(), StoreError> {
    use_bound_key(tx, vault)?;
    let seal = |column: &str, text: &str| {
        let sealed = vault.seal(&place(column, endpoint.id), text.as_bytes(), ids.secret_bytes());
        sealed.map_err(StoreError::from)
    };
    let url = seal("url", &endpoint.settings.url)?;
    let secret = seal("secret", &endpoint.signing.current.secret)?;
    let headers = seal("headers", &to_json(&endpoint.settings.headers)?)?;
    let signing = seal("signing", &to_json(&endpoint.signing)?)?;
    let tls = endpoint.settings.tls.as_ref().map(|tls| seal("tls", &to_json(tls)?)).transpose()?;
    // The URL and the headers may hold tokens, and a key is secret: they stand nowhere but in their ciphertexts.
    let open_settings = to_kept_json(&endpoint.settings.in_the_clear(), tx.known().kept(SETTINGS, endpoint.id))?;
    tx.execute(
        "INSERT INTO endpoints (id, description, url, secret, settings, state, disabled_reason, version, created_at, updated_at, headers, signing, tls) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT (id) DO UPDATE SET description = excluded.description, \
         url = excluded.url, secret = excluded.secret, settings = excluded.settings, state = excluded.state, \
         disabled_reason = excluded.disabled_reason, version = excluded.version, updated_at = excluded.updated_at, \
         headers = excluded.headers, signing = excluded.signing, tls = excluded.tls",
        params![
            endpoint.id,
            &endpoint.settings.description,
            url,
            secret,
            open_settings,
            endpoint.state.as_str(),
            endpoint.disabled_reason.clone(),
            endpoint.version,
            endpoint.created_at,
            endpoint.updated_at,
            headers,
            signing,
            tls
        ],
    )?;
    renew_generation(tx, ids)
}

/// What is written is sealed with the key that the database is bound to, and that does not change before the transaction's end.
fn use_bound_key(tx: &mut dyn Tx, vault: &Vault) -> Result<(), StoreError> {
    match settings::get_shared(tx, settings::SECRET_KEY_NAME)? {
        Some(bound) if bound != vault.key_name() => Ok(vault.seal_with(&bound)?),
        _ => Ok(()),
    }
}

/// Endpoints at a time.
const SEALED_AT_ONCE: u32 = 100;

/// Seals the secrets of the next endpoints behind `after` with the key that seals now, where another did: also of those that were
/// deleted. The last of them; `None`: there are no more.
pub fn seal_anew(tx: &mut dyn Tx, vault: &Vault, ids: &dyn Ids, after: &str) -> Result<Option<String>, StoreError> {
    const SEALED: [&str; 5] = ["url", "secret", "headers", "signing", "tls"];
    use_bound_key(tx, vault)?;
    let lock = tx.dialect().for_update();
    let columns = SEALED.join(", ");
    let sql = format!("SELECT id, {columns} FROM endpoints WHERE id > $1 ORDER BY id LIMIT $2{lock}");
    let found = query_as(tx, "endpoints", &sql, params![after, SEALED_AT_ONCE], |row| {
        let id: EndpointId = row.get("id")?;
        let mut anew = Vec::new();
        for column in SEALED {
            let Some(sealed) = row.get::<Option<Vec<u8>>>(column)? else { continue };
            if vault.is_sealed_anew(&sealed) {
                continue;
            }
            let place = place(column, id);
            // What cannot be opened stays as it is, and is told of where it is read.
            if let Ok(opened) = vault.open(&place, &sealed) {
                anew.push((column, vault.seal(&place, &opened, ids.secret_bytes())?));
            }
        }
        Ok((id, anew))
    })?;
    for (id, anew) in &found {
        for (column, sealed) in anew {
            let sql = format!("UPDATE endpoints SET {column} = $2 WHERE id = $1");
            tx.execute(&sql, params![*id, sealed.clone()])?;
        }
    }
    Ok(found.last().map(|(id, _)| id.to_string()))
}

/// Makes copies in memory old.
pub fn renew_generation(tx: &mut dyn Tx, ids: &dyn Ids) -> Result<(), StoreError> {
    settings::set(tx, settings::ENDPOINTS_GENERATION, &crate::domain::id::text(ids.next()))
}

pub fn generation(tx: &mut dyn Tx) -> Result<String, StoreError> {
    if let Some(generation) = &tx.known().endpoints_generation {
        return Ok(generation.clone());
    }
    let generation = settings::get(tx, settings::ENDPOINTS_GENERATION)?.unwrap_or_default();
    tx.known().endpoints_generation = Some(generation.clone());
    Ok(generation)
}

pub fn get(tx: &mut dyn Tx, vault: &Vault, id: EndpointId) -> Result<Option<Endpoint>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM endpoints WHERE id = $1 AND state <> 'deleted'");
    query_one(tx, "endpoints", &sql, params![id], |row| decode(vault, row))
}

/// Which edit of it this is.
pub fn version(tx: &mut dyn Tx, id: EndpointId) -> Result<Option<i64>, StoreError> {
    query_one(tx, "endpoints", "SELECT version FROM endpoints WHERE id = $1", params![id], |row| row.get("version"))
}

/// An endpoint, locked against other writers until the transaction ends. What this program does not know of it is kept.
pub fn lock(tx: &mut dyn Tx, vault: &Vault, id: EndpointId) -> Result<Option<Endpoint>, StoreError> {
    let lock = tx.dialect().for_update();
    let sql = format!("SELECT {COLUMNS} FROM endpoints WHERE id = $1 AND state <> 'deleted'{lock}");
    let found = query_one(tx, "endpoints", &sql, params![id], |row| decode_kept(vault, row))?;
    Ok(found.map(|(endpoint, kept)| {
        tx.known().keep(SETTINGS, id, kept);
        endpoint
    }))
}

/// The same without reading it: for who is about to change something else of it first.
pub fn hold(tx: &mut dyn Tx, id: EndpointId) -> Result<(), StoreError> {
    let lock = tx.dialect().for_update();
    if lock.is_empty() {
        return Ok(());
    }
    tx.query(&format!("SELECT id FROM endpoints WHERE id = $1{lock}"), params![id], &mut |_| Ok(()))
}

/// An endpoint of a list. One that cannot be read must not keep the others from being listed, or sent to.
#[derive(Debug)]
pub enum Listed {
    Read(Box<Endpoint>),
    Unreadable { id: EndpointId, reason: String },
}

impl Listed {
    pub fn id(&self) -> EndpointId {
        match self {
            Self::Read(endpoint) => endpoint.id,
            Self::Unreadable { id, .. } => *id,
        }
    }
}

pub fn list(tx: &mut dyn Tx, vault: &Vault, after: &str, limit: u32) -> Result<Vec<Listed>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM endpoints WHERE id > $1 AND state <> 'deleted' ORDER BY id LIMIT $2");
    query_as(tx, "endpoints", &sql, params![after, limit], |row| {
        let id = row.get("id")?;
        Ok(match decode(vault, row) {
            Ok(endpoint) => Listed::Read(endpoint.into()),
            Err(error) => Listed::Unreadable { id, reason: error.to_string() },
        })
    })
}

/// What the registry asks of an endpoint to know whether an event is owed to it, and in which lane; no secrets.
pub fn subscriptions(tx: &mut dyn Tx) -> Result<Vec<Subscription>, StoreError> {
    let sql = "SELECT e.id, l.number, e.settings FROM endpoints e JOIN lanes l ON l.endpoint_id = e.id \
               WHERE e.state <> 'deleted' ORDER BY e.id";
    query_as(tx, "endpoints", sql, &[], |row| {
        let endpoint = row.get("id")?;
        // What cannot be read may have asked for anything: what is owed waits until somebody mends it.
        let settings = row.json("settings").unwrap_or_else(|error| {
            tracing::error!(%error, %endpoint, "the endpoint's filter cannot be read; all events are owed to it");
            Settings::of_all_events()
        });
        Ok(Subscription { endpoint, lane: row.get("number")?, settings })
    })
}

/// Endpoints that were deleted, and that something is still owed to.
pub fn deleted_owing(tx: &mut dyn Tx) -> Result<Vec<EndpointId>, StoreError> {
    let sql = "SELECT e.id FROM endpoints e JOIN lanes l ON l.endpoint_id = e.id WHERE e.state = 'deleted' AND EXISTS \
               (SELECT 1 FROM undelivered u WHERE u.lane = l.number AND u.queue IN ('live', 'behind'))";
    query_as(tx, "endpoints", sql, &[], |row| row.get("id"))
}
