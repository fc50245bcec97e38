//! `/docs/guide/…`: the pages of `docs/`, for who has the service and not its source. They are kept as
//! markdown, and made into HTML when they are asked for.

use std::fmt::Write as _;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd, html};

macro_rules! pages {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../../docs/", $path)))),*]
    };
}

/// By where they are below `/docs/` and below `docs/`, so that links between them lead there in both.
pub const PAGES: &[(&str, &str)] = pages![
    "guide/README.md",
    "guide/connect.md",
    "guide/follow-events.md",
    "guide/manage.md",
    "guide/media.md",
    "guide/numbers-from-a-csv.md",
    "guide/receive-360dialog.md",
    "guide/receive-infobip.md",
    "guide/receive-meta.md",
    "guide/send-one.md",
    "guide/sequence-of-three.md",
    "guide/verify-our-webhooks.md",
    "guide/wait-for-a-status.md",
    "guide/welcome-sequences.md",
    "API.md",
    "MANAGING.md",
    "OPERATIONS.md",
];

const STYLE: &str = "body{max-width:62rem;margin:2rem auto;padding:0 1rem;\
    font:16px/1.5 system-ui,sans-serif;color:#222}\
    pre,code{font:14px/1.45 ui-monospace,monospace;background:#f4f4f4;border-radius:3px}\
    code{padding:.1em .25em}pre{padding:.8em;overflow-x:auto}pre code{padding:0}\
    table{border-collapse:collapse;display:block;overflow-x:auto}\
    th,td{border:1px solid #ddd;padding:.3em .6em;text-align:left;vertical-align:top}\
    nav a{margin-right:1em}";

/// The page that is kept at this path, as HTML.
pub fn page(path: &str) -> Option<String> {
    let (path, text) = PAGES.iter().find(|(known, _)| *known == path)?;
    let mut events: Vec<Event> = Parser::new_ext(text, Options::ENABLE_TABLES).collect();
    let mut title = None;
    for at in 0..events.len() {
        let words = heading(&events[at..]);
        if let Event::Start(Tag::Heading { id, .. }) = &mut events[at] {
            *id = Some(anchor(&words).into());
            title.get_or_insert(words);
        }
    }
    let mut is_out = false;
    let events = events.into_iter().filter(|event| match event {
        // What is beside the source is nowhere here: its name remains.
        Event::Start(Tag::Link { dest_url, .. }) => {
            is_out = !leads(path, dest_url);
            !is_out
        }
        Event::End(TagEnd::Link) => !is_out,
        _ => true,
    });
    let up = match path.contains('/') {
        true => "../",
        false => "",
    };
    let mut out = String::new();
    // Nothing can go wrong: it is memory that is written to.
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>twotick: {}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <nav><a href=\"{up}guide/README.md\">By task</a> <a href=\"{up}API.md\">The API</a> \
         <a href=\"{up}../docs\">Every operation</a> <a href=\"{up}MANAGING.md\">Managing</a> \
         <a href=\"{up}OPERATIONS.md\">Operations</a></nav>\n",
        title.unwrap_or_default(),
    );
    html::push_html(&mut out, events);
    out.push_str("</body>\n</html>\n");
    Some(out)
}

/// What a heading that begins here says.
fn heading(events: &[Event]) -> String {
    if !matches!(events.first(), Some(Event::Start(Tag::Heading { .. }))) {
        return String::new();
    }
    let until = |event: &&Event| !matches!(event, Event::End(TagEnd::Heading(_)));
    let words = events.iter().take_while(until);
    words
        .filter_map(|event| match event {
            Event::Text(text) | Event::Code(text) => Some(&**text),
            _ => None,
        })
        .collect()
}

/// What links call a heading, by the custom of forges.
fn anchor(words: &str) -> String {
    let words = words.to_lowercase();
    let kept = words.chars().filter_map(|c| match c {
        ' ' => Some('-'),
        '-' | '_' => Some(c),
        c => c.is_alphanumeric().then_some(c),
    });
    kept.collect()
}

/// Whether a link on a page leads to something that is here.
fn leads(from: &str, to: &str) -> bool {
    if to.starts_with('#') || to.starts_with("http") {
        return true;
    }
    let to = to.split('#').next().unwrap_or_default();
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    let to = match (folder, to.strip_prefix("../")) {
        ("", _) => to.to_owned(),
        (_, Some(above)) => above.to_owned(),
        (folder, None) => format!("{folder}/{to}"),
    };
    PAGES.iter().any(|(known, _)| *known == to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_of_the_guide_is_here_and_leads_to_the_others() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/guide");
        for file in std::fs::read_dir(folder).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            let path = format!("guide/{name}");
            let page = page(&path).unwrap_or_else(|| panic!("{path} is not served"));
            assert!(page.contains("<h1 id="), "{path} has a title");
        }
        let contents = page("guide/README.md").unwrap();
        for (path, _) in PAGES {
            let name = path.strip_prefix("guide/").unwrap_or(path);
            assert!(contents.contains(&format!("{name}\"")), "{path}");
        }
        let operations = page("OPERATIONS.md").unwrap();
        assert!(operations.contains("<h2 id=\"events-in-nats\">"));
        assert!(!operations.contains("../twotick.toml\""));
        assert!(page("../Cargo.toml").is_none());
    }
}
