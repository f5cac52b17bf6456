//! Sidecars in XML.

use roxmltree::{Document, Error, Node, ParsingOptions};
use serde_json::Value;

use super::dump::Metadata;

/// The most elements, texts and comments that are read.
const NODES_MAX: u32 = 1 << 18;

/// The most attributes of an element: each is compared with all others.
const ATTRIBUTES_MAX: usize = 1 << 12;

/// How deep elements may nest.
const DEPTH_MAX: usize = 64;

/// Reads a text that is XML and has an element of that name right below its root, or whose root has
/// it; `None` where it is something else.
pub(super) fn parse<'a>(text: &'a str, element: &str) -> Result<Option<Document<'a>>, String> {
    if !text.contains(element) {
        return Ok(None);
    }
    // No attribute holds a bare `<`.
    if text.split('<').any(|tag| tag.matches('=').count() > ATTRIBUTES_MAX) {
        return Err(format!("an element has more than {ATTRIBUTES_MAX} attributes"));
    }
    let options = ParsingOptions { nodes_limit: NODES_MAX, ..ParsingOptions::default() };
    match Document::parse_with_options(text, options) {
        Ok(xml) => {
            for node in xml.descendants() {
                if node.ancestors().nth(DEPTH_MAX).is_some() {
                    let line = xml.text_pos_at(node.range().start).row;
                    return Err(format!("line {line}: it is nested deeper than {DEPTH_MAX}"));
                }
            }
            let root = xml.root_element();
            let has_it = root.has_tag_name(element)
                || root.children().any(|child| child.has_tag_name(element));
            Ok(has_it.then_some(xml))
        }
        Err(Error::NodesLimitReached) => {
            Err(format!("it has more than {NODES_MAX} elements: leave out what is not needed"))
        }
        Err(error) => Err(format!("line {}: {error}", error.pos().row)),
    }
}

/// What is below a node, as JSON: attributes and elements by their names, lists where a name
/// repeats, text where there is nothing else.
pub(super) fn fields(node: Node<'_, '_>) -> Metadata {
    let mut fields = Metadata::new();
    for attribute in node.attributes() {
        fields.insert(attribute.name().to_owned(), attribute.value().into());
    }
    for child in node.children().filter(Node::is_element) {
        let inner = fields_or_text(child);
        match fields.get_mut(child.tag_name().name()) {
            Some(Value::Array(items)) => items.push(inner),
            Some(first) => *first = Value::Array(vec![first.take(), inner]),
            None => {
                fields.insert(child.tag_name().name().to_owned(), inner);
            }
        }
    }
    fields
}

fn fields_or_text(node: Node<'_, '_>) -> Value {
    let fields = fields(node);
    if fields.is_empty() {
        node.text().unwrap_or_default().trim().into()
    } else {
        Value::Object(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_become_fields() {
        let text = "<root a='1'><b>x</b><c d='2'/><c/><e><f> y </f></e></root>";
        let xml = parse(text, "b").unwrap().unwrap();
        let told = Value::Object(fields(xml.root_element()));
        let expected =
            serde_json::json!({"a": "1", "b": "x", "c": [{"d": "2"}, ""], "e": {"f": "y"}});
        assert_eq!(told, expected);
        assert!(parse(text, "f").unwrap().is_none());
        assert!(parse("<b>\n<c></b>", "b").unwrap_err().contains("line 2"));
    }

    #[test]
    fn what_would_take_too_much_is_refused() {
        let deep = format!("<b>\n{}{}</b>", "<c>".repeat(200_000), "</c>".repeat(200_000));
        assert!(parse(&deep, "b").unwrap_err().starts_with("line 2: it is nested deeper"));
        let many = format!("<b>{}</b>", "<c/>".repeat(1 << 18));
        assert!(parse(&many, "b").unwrap_err().contains("more than 262144 elements"));
        let attributes: Vec<_> = (0..5000).map(|at| format!("a{at}=''")).collect();
        assert!(
            parse(&format!("<b {}/>", attributes.join(" ")), "b")
                .unwrap_err()
                .contains("attributes")
        );
    }
}
