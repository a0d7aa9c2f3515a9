//! Attributes of a node, with ONNX's defaults.

use super::proto;
use super::tensor::{MAX_ELEMENTS, Tensor};
use std::path::Path;

/// A node's attributes by name.
pub(super) struct Attributes<'p>(pub(super) &'p [proto::Attribute]);

impl Attributes<'_> {
    fn find(&self, name: &str) -> Option<&proto::Attribute> {
        self.0.iter().find(|attribute| attribute.name == name)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    pub(super) fn int(&self, name: &str, default: i64) -> i64 {
        self.find(name).map_or(default, |attribute| attribute.i)
    }

    pub(super) fn float(&self, name: &str, default: f32) -> f32 {
        self.find(name).map_or(default, |attribute| attribute.f)
    }

    pub(super) fn ints(&self, name: &str) -> Option<Vec<i64>> {
        self.find(name).map(|attribute| attribute.ints.clone())
    }

    pub(super) fn floats(&self, name: &str) -> Option<Vec<f32>> {
        self.find(name).map(|attribute| attribute.floats.clone())
    }

    pub(super) fn text(&self, name: &str, default: &'static str) -> String {
        self.find(name).map_or_else(
            || default.to_string(),
            |attribute| String::from_utf8_lossy(&attribute.s).into_owned(),
        )
    }

    pub(super) fn tensor(&self, name: &str, file: &Path) -> Option<Result<Tensor, String>> {
        let tensor = self.find(name)?.t.as_ref()?;
        let mut left = MAX_ELEMENTS;
        Some(Tensor::read(tensor, file, &mut left))
    }
}
