//! durawasm
