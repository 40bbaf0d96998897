//! What the table of routes is made of: methods, the role that each asks for, and the router that takes no route without one.

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodFilter, MethodRouter, on};

use super::{Shared, access};
use crate::domain::key::Role;

/// Methods of one path. Nobody may use them before somebody has said who.
pub struct Methods {
    methods: MethodRouter<Shared>,
    names: Vec<Method>,
}

pub fn get<H: Handler<T, Shared>, T: 'static>(handler: H) -> Methods {
    Methods { methods: on(MethodFilter::GET, handler), names: vec![Method::GET] }
}

pub fn post<H: Handler<T, Shared>, T: 'static>(handler: H) -> Methods {
    Methods { methods: on(MethodFilter::POST, handler), names: vec![Method::POST] }
}

pub fn patch<H: Handler<T, Shared>, T: 'static>(handler: H) -> Methods {
    Methods { methods: on(MethodFilter::PATCH, handler), names: vec![Method::PATCH] }
}

pub fn delete<H: Handler<T, Shared>, T: 'static>(handler: H) -> Methods {
    Methods { methods: on(MethodFilter::DELETE, handler), names: vec![Method::DELETE] }
}

pub fn put<H: Handler<T, Shared>, T: 'static>(handler: H) -> Methods {
    Methods { methods: on(MethodFilter::PUT, handler), names: vec![Method::PUT] }
}

impl Methods {
    pub fn and(mut self, other: Self) -> Self {
        self.names.extend(other.names);
        Self { methods: self.methods.merge(other.methods), names: self.names }
    }
}

/// Methods of one path, each of which asks for a role.
pub struct Guarded {
    methods: MethodRouter<Shared>,
    roles: Vec<(Method, Role)>,
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

pub fn guarded(role: Role, Methods { methods, names }: Methods) -> Guarded {
    let roles = names.into_iter().map(|name| (name, role)).collect();
    Guarded { methods: access::open_to(role, methods), roles }
}

impl Guarded {
    pub fn and(mut self, other: Self) -> Self {
        self.roles.extend(other.roles);
        Self { methods: self.methods.merge(other.methods), roles: self.roles }
    }
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub method: Method,
    pub path: String,
    pub role: Role,
}

/// Routes that all ask for a role: what does not say which cannot be added.
#[derive(Default)]
pub struct Routes {
    router: Router<Shared>,
    table: Vec<Route>,
}

impl Routes {
    pub fn route(mut self, path: &str, Guarded { methods, roles }: Guarded) -> Self {
        // What takes the rest of a path is told of like any other part of it.
        let told = path.replace("{*", "{");
        let route = |(method, role)| Route { method, path: told.clone(), role };
        self.table.extend(roles.into_iter().map(route));
        Self { router: self.router.route(path, methods), table: self.table }
    }

    pub fn merge(mut self, other: Self) -> Self {
        self.table.extend(other.table);
        Self { router: self.router.merge(other.router), table: self.table }
    }

    pub fn into_table(self) -> Vec<Route> {
        self.table
    }

    pub fn into_router(self) -> Router<Shared> {
        self.router
    }
}
