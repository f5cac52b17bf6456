//! Sidecars in XML.

use roxmltree::{Document, Node};
use serde_json::Value;

use super::dump::Metadata;

/// Reads a text that is XML and has an element of that name right below its root, or whose root has
/// it; `None` where it is something else.
pub(super) fn parse<'a>(text: &'a str, element: &str) -> Result<Option<Document<'a>>, String> {
    if !text.contains(element) {
        return Ok(None);
    }
    match Document::parse(text) {
        Ok(xml) => {
            let root = xml.root_element();
            let has_it = root.has_tag_name(element)
                || root.children().any(|child| child.has_tag_name(element));
            Ok(has_it.then_some(xml))
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
}
