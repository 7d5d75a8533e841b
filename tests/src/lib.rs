//! Tests that belong to no single crate: golden ladders of whole flows, the layer check, and a cluster of real
//! processes. The helpers they share are here; the tests themselves are beside this folder.
