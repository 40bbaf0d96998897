//! How a form is laid out: inputs of one row together, and what few look for folded away.

use super::{Form, Input};

/// Inputs that stand in one row, if they have a name together; or one alone.
pub struct Group<'a> {
    pub name: &'a str,
    pub inputs: Vec<&'a Input>,
}

/// What folds away together.
pub struct Section<'a> {
    pub title: &'static str,
    /// Its place in the form, from 1 on.
    pub number: usize,
    pub is_open: bool,
    pub groups: Vec<Group<'a>>,
}

impl Form {
    /// What is in sight at all times.
    pub fn groups(&self) -> Vec<Group<'_>> {
        self.groups_of("")
    }

    /// What is not, in the order of its first inputs. Open is what has errors, and what somebody has filled in.
    pub fn sections(&self) -> Vec<Section<'_>> {
        let mut titles: Vec<&'static str> = Vec::new();
        for input in self.inputs.iter().filter(|input| !input.section.is_empty()) {
            if !titles.contains(&input.section) {
                titles.push(input.section);
            }
        }
        let section = |(place, title): (usize, &'static str)| {
            let mut inputs = self.inputs.iter().filter(|input| input.section == title);
            let is_open = inputs.any(|input| {
                let is_there = !input.wholes().is_empty() && input.is_filled(&self.fields);
                is_there || self.error(input).is_some()
            });
            Section { title, number: place + 1, is_open, groups: self.groups_of(title) }
        };
        titles.into_iter().enumerate().map(section).collect()
    }

    fn groups_of(&self, section: &str) -> Vec<Group<'_>> {
        let mut groups: Vec<Group<'_>> = Vec::new();
        for input in self.inputs.iter().filter(|input| input.section == section) {
            match groups.last_mut() {
                Some(group) if !group.name.is_empty() && group.name == input.group => group.inputs.push(input),
                _ => groups.push(Group { name: &input.group, inputs: vec![input] }),
            }
        }
        groups
    }
}
