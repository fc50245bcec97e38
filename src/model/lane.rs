//! What may be paused as one: the name of the lane that a message would use.

use std::collections::HashMap;

use uuid::Uuid;

/// The lane of sequences that wait for a decision and not for a POST: never closed.
pub const DECISION: &str = "";
/// The lane of messages that use no template.
pub const FREE: &str = "-";

/// The lane of sequences that a person has paused: never open.
pub const PAUSED: &str = "=";

/// The lane of a template. Meta's examples spell languages `en_US` and `en-US`: one lane.
pub fn of_template(name: &str, language: &str) -> String {
    format!("{name}/{}", language.replace('-', "_"))
}

/// The lane of what would use `lane`, in a campaign: its own, so that it can be paused with the
/// campaign. No template's name begins with a plus.
pub fn in_campaign(campaign: Uuid, lane: &str) -> String {
    format!("+{campaign}/{lane}")
}

/// The lane of a message, by its template if it has one.
pub fn of(template: Option<(&str, &str)>) -> String {
    match template {
        Some((name, language)) => of_template(name, language),
        None => FREE.to_owned(),
    }
}

/// Whose turn it is among the lanes of a sender. There may be fewer POSTs to give away than lanes
/// that wait for one: then those come first that have had none for longest, or what came last would
/// wait for all of what came before it.
#[derive(Debug, Default)]
pub struct Turns {
    had: HashMap<String, u64>,
    given: u64,
}

impl Turns {
    /// Puts lanes in the order of their turns. What is none of these is forgotten; but where there is
    /// nothing to give away, only decisions are asked for, and turns stay as they are.
    pub fn order(&mut self, lanes: &mut [String]) {
        if lanes.iter().all(|lane| lane == DECISION) {
            return;
        }
        lanes.sort_unstable();
        self.had.retain(|lane, _| lanes.binary_search(lane).is_ok());
        lanes.sort_by_key(|lane| self.had.get(lane).copied().unwrap_or(0));
    }

    /// This one has had a POST.
    pub fn give(&mut self, lane: String) {
        self.given += 1;
        self.had.insert(lane, self.given);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_waited_longest_comes_first() {
        let mut turns = Turns::default();
        let mut order = |given: &[&str], lanes: &[&str]| {
            given.iter().for_each(|lane| turns.give((*lane).to_owned()));
            let mut lanes: Vec<_> = lanes.iter().map(|lane| (*lane).to_owned()).collect();
            turns.order(&mut lanes);
            lanes
        };
        assert_eq!(order(&["b", "c", "b"], &["a", "b", "c"]), ["a", "c", "b"]);
        assert_eq!(order(&["a"], &["a", "b"]), ["b", "a"]);
        // No POST was to be had: nobody's turn passes.
        assert_eq!(order(&["b"], &[DECISION]), [DECISION]);
        assert_eq!(order(&[], &["a", "b"]), ["a", "b"]);
        assert_eq!(order(&["a"], &["a", "b"]), ["b", "a"]);
        // That `c` was served before has been forgotten.
        assert_eq!(order(&[], &["a", "b", "c"]), ["c", "b", "a"]);
    }
}
