// SPDX-License-Identifier: MIT OR Apache-2.0

//! The tables of the report.

use maud::{Markup, html};

use crate::model::{Guest, Status, Update};
use crate::totals::{Percentiles, Summary, broken, duration, grouped, memory, printable};

/// The most guests that are listed one by one.
const LISTED: usize = 200;

pub(super) fn percentiles(summary: &Summary) -> Markup {
    let row = |name: &str, values: Option<Percentiles>, unit: fn(f64) -> String| {
        html! {
            tr {
                th scope="row" { (name) }
                @match values {
                    Some(all) => { td { (unit(all.p50)) } td { (unit(all.p90)) } td { (unit(all.p99)) } }
                    None => { td { "–" } td { "–" } td { "–" } }
                }
            }
        }
    };
    html! {
        div.scroll {
            table {
                thead {
                    tr {
                        th scope="col" { "" }
                        th scope="col" { "p50" }
                        th scope="col" { "p90" }
                        th scope="col" { "p99" }
                    }
                }
                tbody {
                    (row("Boot", summary.boot_seconds, duration))
                    (row("PSS", summary.pss, memory))
                }
            }
        }
    }
}

pub(super) fn states(summary: &Summary) -> Markup {
    html! {
        div.scroll {
            table {
                thead { tr { th scope="col" { "State" } th scope="col" { "Guests" } } }
                tbody {
                    @for (state, count) in summary.present() {
                        tr { td { (state) } td { (grouped(&count)) } }
                    }
                }
            }
        }
    }
}

pub(super) fn update(update: &Update) -> Markup {
    let parts: Vec<_> = std::iter::once(("guests", update.total))
        .chain(update.steps())
        .collect();
    html! {
        p { "From " code { (printable(&update.source)) } ", " (printable(&update.stage)) "." }
        div.scroll {
            table {
                thead { tr { @for (name, _) in &parts { th scope="col" { (name) } } } }
                tbody { tr { @for (_, count) in &parts { td { (grouped(count)) } } } }
            }
        }
    }
}

/// Lists the guests that are fatal, looping or gone.
pub(super) fn attention(status: &Status) -> Markup {
    let broken: Vec<&Guest> = broken(status).collect();
    html! {
        @if broken.is_empty() {
            p.good { "None is fatal, looping or gone." }
        } @else {
            div.scroll {
                table.words {
                    thead {
                        tr {
                            th scope="col" { "Guest" }
                            th scope="col" { "State" }
                            th scope="col" { "Slot" }
                            th scope="col" { "Boots" }
                            th scope="col" { "Message" }
                        }
                    }
                    tbody {
                        @for guest in broken.iter().take(LISTED) {
                            tr {
                                td { (printable(&guest.host)) }
                                td.bad { (guest.state) }
                                td { (guest.slot.as_deref().unwrap_or("–")) }
                                td { (guest.boots) }
                                td.message { (printable(guest.message.as_deref().unwrap_or("–"))) }
                            }
                        }
                    }
                }
            }
            @if broken.len() > LISTED {
                p { "and " (grouped(&(broken.len() - LISTED))) " more" }
            }
        }
    }
}
