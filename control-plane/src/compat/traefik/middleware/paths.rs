//! stripprefix, addprefix, replacepath, and those that do it by regular expressions.

use super::Work;
use crate::compat::note::{Note, Refusal};
use crate::compat::traefik::labels::Fields;

/// `stripprefix`: takes away the first of some prefixes that the path begins with.
pub(super) fn strip(work: &mut Work<'_>, _: &str, fields: &mut Fields) -> Result<(), Note> {
    if let Some(force) = fields.take("stripprefix.forceslash") {
        work.notes.push(force.differs("a path begins with a slash always"));
    }
    let Some(prefixes) = fields.take("stripprefix.prefixes") else { return Ok(()) };
    let mut all = Vec::with_capacity(work.drafts.len());
    for mut draft in std::mem::take(&mut work.drafts) {
        let deeper = draft.strip(&prefixes.list()).map_err(|refusal| prefixes.lost(refusal))?;
        all.push(draft);
        all.extend(deeper);
    }
    work.drafts = all;
    Ok(())
}

/// `addprefix`.
pub(super) fn add_prefix(work: &mut Work<'_>, _: &str, fields: &mut Fields) -> Result<(), Note> {
    let Some(prefix) = fields.take("addprefix.prefix") else { return Ok(()) };
    let each = work.drafts.iter_mut().try_for_each(|draft| draft.prepend(&prefix.value));
    each.map_err(|refusal| prefix.lost(refusal))
}

/// `replacepath`.
pub(super) fn replace(work: &mut Work<'_>, _: &str, fields: &mut Fields) -> Result<(), Note> {
    let Some(path) = fields.take("replacepath.path") else { return Ok(()) };
    let each = work.drafts.iter_mut().try_for_each(|draft| draft.replace(&path.value));
    each.map_err(|refusal| path.lost(refusal))
}

/// `replacepathregex` and `stripprefixregex`.
pub(super) fn regex(_: &mut Work<'_>, name: &str, fields: &mut Fields) -> Result<(), Note> {
    let refusal = Refusal::new(
        format!("our routes change a path by its prefix, and {name} does by a regular expression"),
        "say the prefixes one by one, with strip or rewrite",
    );
    fields.first().map_or(Ok(()), |first| Err(first.lost(refusal)))
}
