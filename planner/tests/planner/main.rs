//! The planner's rules, one table or story each. Every plan of these tests passes the lint.

#[cfg(test)]
mod executions;
mod imports;
#[cfg(test)]
mod output;
#[cfg(test)]
mod random;
#[cfg(test)]
mod resources;
mod selection;
#[cfg(test)]
mod steps;
#[cfg(test)]
mod world;
