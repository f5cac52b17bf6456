//! The plan for one array: its header, the [`Route`] that its data take, and the steps of that
//! route.

use crate::decide::constraints::Constraints;
use crate::decide::reason::Reason;
use crate::decide::route::{Route, SkippedRoute, Steps};
use crate::decide::route_problem::RouteProblem;
use crate::decide::routes::{Outline, ROUTES, RouteInput, RouteRule};
use crate::describe::{DeclaredBy, Dump};
use crate::model::FileName;
use crate::npy::Header;

/// How npyd makes the array of one drop, down to the bytes that it writes.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The route.
    pub route: Route,
    /// The header of the array.
    pub header: Header,
    /// Whether the array contains the bytes of the source unchanged, so that npyd can compare both.
    /// If not, npyd recognizes the array only by its mark and the ledger.
    pub holds_source_bytes: bool,
    /// The steps of the route.
    pub steps: Steps,
    /// The routes that come before this one in order of preference, and why they do not apply.
    pub skipped_routes: Vec<SkippedRoute>,
}

impl Plan {
    /// Plans the array of a source whose bytes are laid out as `source_header` says, in a data file
    /// of `size` bytes; in salvage, the size that the file has once its rest is cut off. Chooses
    /// the first route that applies.
    ///
    /// # Errors
    ///
    /// The array can be made by one route only, and that does not apply.
    pub fn new(
        dump: &Dump,
        source_header: &Header,
        size: u64,
        constraints: &Constraints,
    ) -> Result<Self, Reason> {
        choose(&ROUTES, &RouteInput { dump, source_header, size, constraints })
    }

    /// Plans an array that is made again from itself, as a new file: `dump` and `source_header` are
    /// those of the array. Chooses among the routes that can do that.
    ///
    /// # Errors
    ///
    /// No route applies.
    pub fn of_array(
        dump: &Dump,
        source_header: &Header,
        size: u64,
        constraints: &Constraints,
    ) -> Result<Self, Reason> {
        let routes: Vec<_> = ROUTES.into_iter().filter(|it| it.can_remake_array).collect();
        choose(&routes, &RouteInput { dump, source_header, size, constraints })
    }

    /// Returns the header as it will be in the file.
    #[must_use]
    pub fn head(&self, dump: &Dump) -> Vec<u8> {
        self.steps.head(dump)
    }
}

fn choose(routes: &[RouteRule], input: &RouteInput<'_>) -> Result<Plan, Reason> {
    let mut skipped_routes = Vec::new();
    for RouteRule { route, outline, .. } in routes {
        let route = *route;
        match outline(input) {
            Ok(_) if let Some(name) = name_of_the_source(route, input) => {
                return Err(Reason::OwnName(name.clone()));
            }
            Ok(Outline { header, holds_source_bytes, steps }) => {
                return Ok(Plan { route, header, holds_source_bytes, steps, skipped_routes });
            }
            Err(why) => skipped_routes.push(SkippedRoute { route, why }),
        }
    }
    Err(Reason::Route(RouteProblem::NoneLeft(skipped_routes)))
}

/// Returns the name of the array if a route would replace its source by it. Only the in-place route
/// may make an array that has the name of its own data; a pending file is replaced by any route.
fn name_of_the_source<'a>(route: Route, input: &RouteInput<'a>) -> Option<&'a FileName> {
    let is_allowed = route == Route::InPlace || input.dump.kind == DeclaredBy::Pending;
    input.constraints.own_name.as_ref().filter(|_| !is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::new_file::NewFile;
    use crate::decide::route_obstacle::RouteObstacle;
    use crate::describe::Manifest;
    use crate::model::{FsInfo, FsKind};
    use crate::npy::{Dtype, Order};

    const BIG_ENDIAN: &str = "dtype = '>i2'\nshape = [3]\n";

    /// Plans a dump of six bytes by some of the routes.
    fn planned(manifest: &str, routes: &[RouteRule]) -> Result<Plan, Reason> {
        planned_as(None, manifest, routes)
    }

    /// Plans a dump of six bytes whose array is to have the name of its data.
    fn planned_as(
        own_name: Option<&str>,
        manifest: &str,
        routes: &[RouteRule],
    ) -> Result<Plan, Reason> {
        let name = |name: &str| FileName::try_from(name.to_owned()).unwrap();
        let manifest = Manifest::parse(&name("x.raw.toml"), manifest.as_bytes()).unwrap().unwrap();
        let dump = manifest.dump(&name("x.raw")).unwrap();
        let on = Constraints::on(FsInfo { kind: FsKind::Tmpfs, network: false });
        let constraints = Constraints { own_name: own_name.map(name), ..on };
        let source_header = &dump.header(6).unwrap();
        choose(
            routes,
            &RouteInput { dump: &dump, source_header, size: 6, constraints: &constraints },
        )
    }

    fn swaps_bytes(input: &RouteInput<'_>) -> Result<Outline, RouteObstacle> {
        if input.size == 0 {
            return Err(RouteObstacle::NoData);
        }
        let dtype = Dtype::from_text("<i2").unwrap();
        let header = Header::new(dtype, Order::C, vec![3]).unwrap();
        let new = NewFile { head: header.numpy_bytes(), offset: 0, len: 6 };
        assert_ne!(header, *input.source_header);
        Ok(Outline { header, holds_source_bytes: false, steps: Steps::Copy(new) })
    }

    #[test]
    fn the_copy_is_the_last_route_of_the_list() {
        let plan = planned(BIG_ENDIAN, &ROUTES).unwrap();
        assert_eq!((plan.route, plan.holds_source_bytes), (Route::Copy, true));
        assert_eq!(plan.header.dtype().to_string(), "'>i2'");
        assert_eq!(plan.skipped_routes.len(), ROUTES.len() - 1);
    }

    /// Whatever the order of the routes: a new file would take the place of the source.
    #[test]
    fn only_in_place_gives_an_array_the_name_of_its_source() {
        let swapping =
            RouteRule { route: Route::Copy, can_remake_array: false, outline: swaps_bytes };
        let all: Vec<_> = [swapping].into_iter().chain(ROUTES).collect();
        for routes in [&all[..], &ROUTES] {
            let reason = planned_as(Some("x.raw"), BIG_ENDIAN, routes).unwrap_err();
            assert!(matches!(reason, Reason::OwnName(_)), "{reason}");
        }
        let reserved = "dtype = '>i2'\nshape = [3]\nreserved = 128\n";
        let plan = planned_as(Some("x.raw"), reserved, &ROUTES);
        assert!(matches!(plan, Ok(Plan { route: Route::InPlace, .. })), "{plan:?}");
    }

    #[test]
    fn no_route_is_an_error_that_names_those_that_were_tried() {
        let all_but_the_copy = &ROUTES[..ROUTES.len() - 1];
        let reason = planned(BIG_ENDIAN, all_but_the_copy).unwrap_err().to_string();
        assert!(reason.contains("not in-place: ") && reason.contains("not reflink: "), "{reason}");
    }

    /// On btrfs, where all routes but in-place apply: that of a big file is reflink, else a copy.
    #[test]
    fn an_array_is_made_again_by_the_routes_that_make_a_new_file() {
        let file_system = FsInfo { kind: FsKind::Btrfs, network: false };
        let mut constraints = Constraints::on(file_system);
        let manifest = format!("dtype = '<u1'\nshape = [{}]\nreserved = 4096\n", 32 << 20);
        let name = |name: &str| FileName::try_from(name.to_owned()).unwrap();
        let manifest = Manifest::parse(&name("x.raw.toml"), manifest.as_bytes()).unwrap().unwrap();
        let dump = manifest.dump(&name("x.raw")).unwrap();
        let size = 4096 + (32 << 20);
        let header = dump.header(size).unwrap();
        let plan = Plan::new(&dump, &header, size, &constraints).unwrap();
        assert_eq!(plan.route, Route::InPlace);
        let plan = Plan::of_array(&dump, &header, size, &constraints).unwrap();
        assert!(matches!(plan.steps, Steps::Reflink(_)), "{plan:?}");
        constraints.exclude(Route::Reflink, RouteObstacle::NotShared);
        let plan = Plan::of_array(&dump, &header, size, &constraints).unwrap();
        assert!(matches!(plan.steps, Steps::Copy(_)), "{plan:?}");
        let skipped = [SkippedRoute { route: Route::Reflink, why: RouteObstacle::NotShared }];
        assert_eq!(plan.skipped_routes, skipped);
    }

    #[test]
    fn a_route_that_no_setting_asks_for_is_skipped() {
        let rule = RouteRule {
            route: Route::Copy,
            can_remake_array: false,
            outline: |_| Err(RouteObstacle::NotAsked),
        };
        let routes: Vec<_> = [rule].into_iter().chain(ROUTES).collect();
        let plan = planned(BIG_ENDIAN, &routes).unwrap();
        assert_eq!((plan.route, plan.holds_source_bytes), (Route::Copy, true));
        assert_eq!(plan.skipped_routes[0].to_string(), "not copy: no setting asks for it");
        assert!(!plan.skipped_routes[0].why.is_noteworthy());
    }

    #[test]
    fn the_header_of_the_array_is_that_of_its_route() {
        let swapping =
            RouteRule { route: Route::Copy, can_remake_array: false, outline: swaps_bytes };
        let plan = planned(BIG_ENDIAN, &[swapping]).unwrap();
        assert!(!plan.holds_source_bytes);
        assert_eq!(plan.header.dtype().to_string(), "'<i2'");
    }
}
