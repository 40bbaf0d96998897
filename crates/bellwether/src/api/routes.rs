//! What the table of routes is made of: methods with their names and what describes them, the role that each asks for, and the
//! router that takes no route without.

use std::borrow::Cow;

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodFilter, MethodRouter, on};

use super::description::Described;
#[cfg(test)]
use super::description::{Operation, Schemas};
use super::problem::Kind;
use super::{Shared, access};
use crate::domain::key::Role;

/// A method of one path that has no name yet.
pub struct Unnamed {
    handler: MethodRouter<Shared>,
    method: Method,
    /// The program itself holds nothing that describes it.
    #[cfg(test)]
    describe: fn(&mut Operation, &mut Schemas),
}

pub fn get<H: Handler<T, Shared> + Described<T>, T: 'static>(handler: H) -> Unnamed {
    unnamed::<H, T>(Method::GET, on(MethodFilter::GET, handler))
}

pub fn post<H: Handler<T, Shared> + Described<T>, T: 'static>(handler: H) -> Unnamed {
    unnamed::<H, T>(Method::POST, on(MethodFilter::POST, handler))
}

pub fn patch<H: Handler<T, Shared> + Described<T>, T: 'static>(handler: H) -> Unnamed {
    unnamed::<H, T>(Method::PATCH, on(MethodFilter::PATCH, handler))
}

pub fn delete<H: Handler<T, Shared> + Described<T>, T: 'static>(handler: H) -> Unnamed {
    unnamed::<H, T>(Method::DELETE, on(MethodFilter::DELETE, handler))
}

pub fn put<H: Handler<T, Shared> + Described<T>, T: 'static>(handler: H) -> Unnamed {
    unnamed::<H, T>(Method::PUT, on(MethodFilter::PUT, handler))
}

/// One that the description does not tell of.
pub fn undescribed<H: Handler<T, Shared>, T: 'static>(method: Method, filter: MethodFilter, handler: H) -> Unnamed {
    Unnamed {
        handler: on(filter, handler),
        method,
        #[cfg(test)]
        describe: |_, _| {},
    }
}

fn unnamed<H: Described<T>, T>(method: Method, handler: MethodRouter<Shared>) -> Unnamed {
    Unnamed {
        handler,
        method,
        #[cfg(test)]
        describe: H::describe,
    }
}

impl Unnamed {
    /// Its name in the description, and in the programs that are generated from it; and what it does, in one line.
    pub fn named(self, name: impl Into<Cow<'static, str>>, summary: impl Into<Cow<'static, str>>) -> Methods {
        let endpoint = Endpoint {
            method: self.method,
            name: name.into(),
            summary: summary.into(),
            problems: Vec::new(),
            takes: None,
            #[cfg(test)]
            describe: self.describe,
        };
        Methods { methods: self.handler, endpoints: vec![endpoint] }
    }
}

/// One method of a path, apart from what it does.
#[derive(Clone)]
pub struct Endpoint {
    pub method: Method,
    pub name: Cow<'static, str>,
    pub summary: Cow<'static, str>,
    /// What it may answer that its handler's signature does not tell.
    pub problems: Vec<Kind>,
    /// The parameters of the query that it takes, where these are not all that its handler reads.
    pub takes: Option<Vec<&'static str>>,
    #[cfg(test)]
    pub describe: fn(&mut Operation, &mut Schemas),
}

/// Methods of one path. Nobody may use them before somebody has said who.
pub struct Methods {
    methods: MethodRouter<Shared>,
    endpoints: Vec<Endpoint>,
}

impl Methods {
    pub fn and(mut self, other: Self) -> Self {
        self.endpoints.extend(other.endpoints);
        Self { methods: self.methods.merge(other.methods), endpoints: self.endpoints }
    }

    /// Also answers with this problem.
    pub fn may_answer(mut self, kind: Kind) -> Self {
        self.endpoints.iter_mut().for_each(|endpoint| endpoint.problems.push(kind));
        self
    }

    /// Refuses other parameters of its handler's query.
    pub fn only_takes(mut self, names: Vec<&'static str>) -> Self {
        self.endpoints.iter_mut().for_each(|endpoint| endpoint.takes = Some(names.clone()));
        self
    }
}

/// Methods of one path, each of which asks for a role, or is open to all.
#[derive(Clone)]
pub struct Guarded {
    methods: MethodRouter<Shared>,
    endpoints: Vec<(Endpoint, Option<Role>)>,
}

/// What each role may do; whoever has one may also do what the ones before it may.
pub fn read(methods: Methods) -> Guarded {
    guarded(Role::Read, methods)
}

pub fn write(methods: Methods) -> Guarded {
    guarded(Role::Write, methods)
}

pub fn admin(methods: Methods) -> Guarded {
    guarded(Role::Admin, methods)
}

pub fn guarded(role: Role, Methods { methods, endpoints }: Methods) -> Guarded {
    let endpoints = endpoints.into_iter().map(|endpoint| (endpoint, Some(role))).collect();
    Guarded { methods: access::open_to(role, methods), endpoints }
}

/// Open to everybody, without a key.
pub fn open(Methods { methods, endpoints }: Methods) -> Guarded {
    Guarded { methods, endpoints: endpoints.into_iter().map(|endpoint| (endpoint, None)).collect() }
}

impl Guarded {
    pub fn and(mut self, other: Self) -> Self {
        self.endpoints.extend(other.endpoints);
        Self { methods: self.methods.merge(other.methods), endpoints: self.endpoints }
    }
}

/// One line of the table that asks for a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub method: Method,
    pub path: String,
    pub role: Role,
    /// What it is called, and what it does.
    pub name: Cow<'static, str>,
    pub summary: Cow<'static, str>,
}

/// Routes of which each says who may use it, and what it is.
#[derive(Default)]
pub struct Routes {
    router: Router<Shared>,
    table: Vec<(String, Endpoint, Option<Role>)>,
}

impl Routes {
    pub fn route(mut self, path: &str, Guarded { methods, endpoints }: Guarded) -> Self {
        // What takes the rest of a path is told of like any other part of it.
        let told = path.replace("{*", "{");
        let line = |(endpoint, role)| (told.clone(), endpoint, role);
        self.table.extend(endpoints.into_iter().map(line));
        Self { router: self.router.route(path, methods), table: self.table }
    }

    pub fn merge(mut self, other: Self) -> Self {
        self.table.extend(other.table);
        Self { router: self.router.merge(other.router), table: self.table }
    }

    /// Those that ask for a role, `base` before their paths.
    pub fn into_table(self, base: &str) -> Vec<Route> {
        let route = |(path, endpoint, role): (String, Endpoint, Option<Role>)| {
            let Endpoint { method, name, summary, .. } = endpoint;
            Some(Route { method, path: format!("{base}{path}"), role: role?, name, summary })
        };
        self.table.into_iter().filter_map(route).collect()
    }

    /// All, with what describes each.
    #[cfg(test)]
    pub fn into_endpoints(self, base: &str) -> Vec<(String, Endpoint, Option<Role>)> {
        self.table.into_iter().map(|(path, endpoint, role)| (format!("{base}{path}"), endpoint, role)).collect()
    }

    pub fn into_router(self) -> Router<Shared> {
        self.router
    }
}
