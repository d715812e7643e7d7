//! What is measured, against peers, by one command
