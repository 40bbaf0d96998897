//! Reading what can be read of an answer that is not as it should be: the status decides, and a receiver that has accepted
//! an event is not to get it again because of a header. Nothing behind such a head is read, nor the connection kept.

use super::{Head, MOST_SHOWN, is_interim};

/// What is shown of something that is no answer.
const LONGEST_BEGINNING: usize = 100;

/// The head as far as it came, if its first line is whole and says a status that is final.
pub fn parse(bytes: &[u8]) -> Option<Head> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let code = status(&bytes[..end]).filter(|code| !is_interim(*code))?;
    let rest = &bytes[end + 1..];
    let mut headers = String::new();
    let mut retry_after = None;
    for line in rest.split(|byte| *byte == b'\n').take_while(|line| !matches!(line, [] | [b'\r'])) {
        let line = String::from_utf8_lossy(line);
        let line = line.trim();
        if headers.len() + line.len() >= MOST_SHOWN {
            break;
        }
        headers.push_str(line);
        headers.push('\n');
        let retry = line.split_once(':').filter(|(name, _)| name.trim().eq_ignore_ascii_case("retry-after"));
        retry_after = retry_after.or(retry.map(|(_, value)| value.trim().to_owned()));
    }
    Some(Head { code, retry_after, headers, framing: None, is_kept: false })
}

fn status(line: &[u8]) -> Option<u16> {
    let mut words = std::str::from_utf8(line.get(..12)?).ok()?.split(' ');
    let version = words.next()?.strip_prefix("HTTP/1.")?;
    let code: u16 = words.next().filter(|code| code.len() == 3)?.parse().ok()?;
    let is_whole = matches!(line.get(12), None | Some(b' ' | b'\r'));
    (matches!(version, "0" | "1") && (100..=999).contains(&code) && is_whole).then_some(code)
}

/// Whether these bytes, or more of them, can be the beginning of an answer.
pub fn may_be_answer(bytes: &[u8]) -> bool {
    let begun = b"HTTP/1.";
    bytes.iter().zip(begun).all(|(byte, expected)| byte == expected)
}

/// The first line of what came, for people.
pub fn beginning(bytes: &[u8]) -> String {
    if let [0x15, 0x03, ..] = bytes {
        return "what TLS begins with; is it https?".to_owned();
    }
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let shown = String::from_utf8_lossy(&line[..line.len().min(LONGEST_BEGINNING)]);
    format!("'{}'", shown.trim_end().escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_whatever_follows() {
        let read = |text: &str| parse(text.as_bytes()).map(|head| (head.code, head.retry_after));
        assert_eq!(read("HTTP/1.1 200 OK\r\nName : v\r\n\r\n"), Some((200, None)));
        assert_eq!(read("HTTP/1.1 204\r\n"), Some((204, None)));
        assert_eq!(read("HTTP/1.0 503 \nretry-after : 7\n folded\n"), Some((503, Some("7".to_owned()))));
        for text in [
            "HTTP/1.1 200 OK",
            "HTTP/1.1 100 Continue\r\n",
            "HTTP/1.1 20\r\n",
            "HTTP/1.1 2000\r\n",
            "ICY 200 OK\r\n",
            "\r\n",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn the_beginning_is_shown() {
        assert_eq!(beginning(b"SSH-2.0-OpenSSH_9.2\r\n"), "'SSH-2.0-OpenSSH_9.2'");
        assert!(beginning(&[0x15, 0x03, 0x01, 0, 2]).contains("https?"));
        assert!(beginning(&[b'x'; 5000]).len() < 200);
    }
}
