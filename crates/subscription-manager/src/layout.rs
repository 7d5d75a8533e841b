//! What a data folder was born with and may not change: how many groups the slots were dealt to.

use std::path::Path;

use anyhow::{Context, bail};

/// Writes the layout at the first start, and holds later ones to it: other groups would look for presentities in the
/// wrong logs.
pub fn check(data: &Path, groups: u32) -> anyhow::Result<()> {
    let file = data.join("layout");
    match std::fs::read_to_string(&file) {
        Ok(text) => {
            let born: u32 =
                text.trim().strip_prefix("groups=").and_then(|text| text.parse().ok()).with_context(
                    || format!("{} does not say how many groups it was born with", file.display()),
                )?;
            if born != groups {
                bail!("{} was born with {born} groups, the configuration says {groups}", data.display());
            }
            Ok(())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            std::fs::create_dir_all(data).with_context(|| format!("cannot make {}", data.display()))?;
            std::fs::write(&file, format!("groups={groups}\n"))
                .with_context(|| format!("cannot write {}", file.display()))
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_folder_keeps_the_number_of_groups_it_was_born_with() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("node");

        check(&data, 2).unwrap();

        assert!(check(&data, 2).is_ok());
        let refused = check(&data, 3).unwrap_err().to_string();
        assert!(refused.contains("born with 2 groups"), "{refused}");
    }
}
