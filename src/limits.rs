//! Bounds on what is taken in (rule S1).

use serde::{Deserialize, Serialize};

/// Bounds for one object and for a whole run.
///
/// An object beyond its bound is *quarantined*: it counts as seen, is not created, changed or granted anything, its
/// member list counts as incomplete; removals still reach it. A total beyond its bound refuses the plan: objects, entries,
/// assignments and memberships before the memory for them is taken, operations once they are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes in an anchor, store id, name of an attribute or unresolved member text. Default 4 KiB.
    pub id_bytes: usize,
    /// Bytes in one value. Default 64 KiB.
    pub value_bytes: usize,
    /// Values of one attribute. Default 5,000.
    pub values_per_attribute: usize,
    /// Different attributes of one object. Default 200.
    pub attributes_per_object: usize,
    /// Bytes of all values of one object. Default 16 MiB.
    pub object_bytes: usize,
    /// Different attribute names in one page. Default 65,536.
    pub attribute_names: usize,
    /// Users and groups in a read. Default 10 million.
    pub objects: usize,
    /// Member entries in a read. Default 100 million.
    pub edges: usize,
    /// Memberships after flattening. Default 100 million.
    pub memberships: usize,
    /// Members taken over from nested groups into the lists of the groups above, over all nestings: the work of
    /// flattening. Many groups that all hold the same many groups have far more of them than memberships. Default 2 billion.
    pub merged_members: usize,
    /// Operations in a plan. Default 10 million.
    pub operations: usize,
    /// Levels of nested groups beyond which the depth is reported; it is never cut (rule E7). Default 1,000.
    pub depth_reported: usize,
    /// Pages in one read; an adapter that never ends is stopped here. Default 10 million.
    pub pages: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            id_bytes: 4 << 10,
            value_bytes: 64 << 10,
            values_per_attribute: 5_000,
            attributes_per_object: 200,
            object_bytes: 16 << 20,
            attribute_names: 65_536,
            objects: 10_000_000,
            edges: 100_000_000,
            memberships: 100_000_000,
            merged_members: 2_000_000_000,
            operations: 10_000_000,
            depth_reported: 1_000,
            pages: 10_000_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_that_the_documentation_names() {
        // rule S1
        let limits = Limits::default();
        assert_eq!((limits.id_bytes, limits.value_bytes, limits.object_bytes), (4_096, 65_536, 16_777_216));
        assert_eq!((limits.values_per_attribute, limits.attributes_per_object), (5_000, 200));
        assert_eq!((limits.attribute_names, limits.depth_reported), (65_536, 1_000));
        assert_eq!([limits.objects, limits.operations, limits.pages], [10_000_000; 3]);
        assert_eq!([limits.edges, limits.memberships], [100_000_000; 2]);
        assert_eq!(limits.merged_members, 2_000_000_000);
    }
}
