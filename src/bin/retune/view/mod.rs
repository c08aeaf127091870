//! What is printed: human text and versioned JSON, each `From<&domain type>`.

pub(crate) mod store;
