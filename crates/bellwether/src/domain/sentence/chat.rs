//! A sentence as the chat services take it. What others wrote stays text in each: it mentions nobody, and is no link or markup.

use serde_json::json;

use super::Sentence;

/// A service, or several that take the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chat {
    /// Also Mattermost, Rocket.Chat and Google Chat.
    Slack,
    Discord,
    /// An Adaptive Card, for Workflows.
    Teams,
}

impl Chat {
    /// The body of the request. With `links`, the public URL, the subject can be clicked on.
    pub fn body(self, sentence: &Sentence, links: Option<&str>) -> String {
        let link =
            links.zip(sentence.path.as_ref()).map(|(links, path)| format!("{}{path}", links.trim_end_matches('/')));
        let Sentence { before, subject, after, .. } = sentence;
        let body = match self {
            Self::Slack => {
                let subject = match &link {
                    Some(link) => format!("<{}|{}>", escaped(link), slack(subject).replace('|', "¦")),
                    None => slack(subject),
                };
                json!({"text": format!("{}{subject}{}", slack(before), slack(after)), "mrkdwn": false})
            }
            Self::Discord => {
                let subject = match &link {
                    Some(link) => format!("[{}](<{link}>)", discord(subject)),
                    None => discord(subject),
                };
                let content = format!("{}{subject}{}", discord(before), discord(after));
                json!({"content": content, "allowed_mentions": {"parse": []}})
            }
            Self::Teams => teams(&format!("{before}{subject}{after}"), link.as_deref()),
        };
        body.to_string()
    }
}

/// The three that Slack reads otherwise.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Mentions and links are broken by a mark that nobody sees: those who take Slack's form read more than Slack does.
fn slack(text: &str) -> String {
    let text = escaped(text).replace('@', "@\u{2060}").replace("://", ":\u{2060}//");
    text.replace("](", "]\u{2060}(").replace("www.", "www\u{2060}.")
}

/// Discord reads Markdown, in which any mark is a mark no more behind a backslash.
fn discord(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(
            letter,
            '\\' | '*' | '_' | '~' | '`' | '|' | '>' | '<' | '[' | ']' | '(' | ')' | '#' | '@' | ':' | '-'
        ) {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

/// A run of text is read as text alone, where a block of text would be Markdown.
fn teams(text: &str, link: Option<&str>) -> serde_json::Value {
    let run = json!({"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text}]});
    let mut card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [run],
    });
    if let Some(link) = link {
        card["actions"] = json!([{"type": "Action.OpenUrl", "title": "Open", "url": link}]);
    }
    json!({
        "type": "message",
        "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "content": card}],
    })
}
