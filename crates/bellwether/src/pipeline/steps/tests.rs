//! The text of every statement, held against a file beside this one.

use super::*;
use crate::domain::aggregation::{Aggregation, Operation, TimeUnit};
use crate::domain::definition::AssignmentSource;
use crate::domain::funnel::{ConversionWindow, WindowStart};
use crate::domain::id::{EntityId, FactId, FactSourceId, WarehouseId};
use crate::pipeline::columns::{Columns, KeyKind};
use crate::pipeline::plan::{ColumnFilter, Measure, PlannedSource};
use crate::pipeline::tables::{Side, Typed, tables};
use bellwether_warehouse::{Column, ColumnType};
use serde_json::{Value, json};

fn columns() -> Vec<Column> {
    [
        ("user\"id", ColumnType::Text),
        ("user", ColumnType::Int),
        ("at", ColumnType::Timestamp),
        ("day", ColumnType::Date),
        ("e", ColumnType::Text),
        ("v", ColumnType::Text),
        ("amount", ColumnType::Float),
        ("country", ColumnType::Text),
    ]
    .map(|(name, kind)| Column { name: name.to_owned(), kind })
    .into()
}

fn scope() -> Scope<'static> {
    Scope {
        dialect: Dialect::DataFusion,
        experiment_key: "it's; DROP",
        variations: vec!["a'b", "control"],
        inactive: vec!["old"],
        window: Window { start: Timestamp::from_micros(0), end: Timestamp::from_micros(DAY) },
        facts_end: Timestamp::from_micros(2 * DAY),
        now: Timestamp::from_micros(3 * DAY),
    }
}

fn assignments() -> Assignments {
    assignments_with(&[])
}

fn assignments_with(properties: &[&str]) -> Assignments {
    let source: AssignmentSource = serde_json::from_value(json!({
        "name": "s", "warehouse_id": WarehouseId::of(1), "entity_id": EntityId::of(1),
        "sql": "SELECT * FROM a -- all of it",
        "columns": {"subject": "user\"id", "timestamp": "at", "experiment_key": "e", "variation": "v", "properties": properties},
    }))
    .unwrap();
    let columns = columns();
    let columns = Columns { dialect: Dialect::DataFusion, source: "s".into(), columns: &columns };
    Assignments::of(&source, &columns).unwrap()
}

/// A side of a metric on the source of this time column.
fn side(time: &str, operation: Operation, column: Option<&str>, more: Value) -> (Facts, Side) {
    let mut fields = json!({"fact_id": FactId::of(1), "operation": operation});
    fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mut aggregation: Aggregation = serde_json::from_value(fields).unwrap();
    let filters = std::mem::take(&mut aggregation.filters).into_iter().map(|filter| ColumnFilter {
        column: filter.property,
        comparison: filter.operation,
        values: filter.values,
    });
    let measure = Measure {
        source: 0,
        value_column: column.map(str::to_owned),
        filters: filters.collect(),
        aggregation: aggregation.clone(),
    };
    let source = PlannedSource {
        id: FactSourceId::of(1),
        name: "Orders".into(),
        sql: "SELECT * FROM orders".into(),
        subject_column: "user".into(),
        timestamp_column: time.into(),
    };
    let columns = columns();
    let columns =
        Columns { dialect: Dialect::DataFusion, source: "the fact source 'Orders'".into(), columns: &columns };
    let facts = Facts::of(&source, &columns).unwrap();
    let output = facts.output(&scope(), &measure, &columns).unwrap();
    (facts, Side { source: 0, output, winsorization: aggregation.winsorization })
}

#[test]
fn text_of_users_stays_inside_its_quotes() {
    let sql = scope().subjects(&assignments(), SUBJECTS).sql;
    assert!(sql.contains("\"user\"\"id\"") && sql.contains("'it''s; DROP'") && sql.contains("'a''b'"), "{sql}");
    assert!(sql.contains("-- all of it\n)"), "a comment must end before the parenthesis: {sql}");
    let filter = json!({"filters": [{"property": "country", "operation": "not_equals", "values": ["{}", "x'y"]}]});
    let (facts, side) = side("at", Operation::Count, None, filter);
    let sql = facts.values(&scope(), KeyKind::Int, &[side.output], "t").sql;
    assert!(sql.contains("(f.c0 IS NULL OR f.c0 NOT IN ('{}', 'x''y'))"), "{sql}");
}

/// The statements of metrics on one source, with means as they might be.
fn statements(sides: Vec<(Facts, Side)>) -> Vec<Step> {
    let scope = scope();
    let facts = sides[0].0.clone();
    let metrics: Vec<Typed> =
        sides.into_iter().enumerate().map(|(metric, (_, side))| Typed::of(metric, vec![side])).collect();
    let mut steps = Vec::new();
    for table in tables(&metrics, "") {
        steps.push(facts.census(&scope, &table.outputs));
        steps.push(facts.values(&scope, KeyKind::Text, &table.outputs, &table.name));
        steps.extend(bounds(&scope, "Orders", &table.name, &table.measured));
        steps.push(totals(&scope, "Orders", &table.name, &table.measured));
        let centred: Vec<_> = table.measured.iter().map(|it| (it.clone(), vec![0.1 + 0.2, -1e300])).collect();
        let pairs = if centred.len() > 1 { vec![Pair::of(0, 1)] } else { Vec::new() };
        steps.push(deviations(&scope, "Orders", &table.name, &centred, &pairs));
    }
    steps
}

/// Of subjects with a property that enter by a source, and of a metric with its past.
fn of_properties() -> Vec<Step> {
    let (scope, assignments) = (scope(), assignments_with(&["country"]));
    let (facts, side) = side("at", Operation::Sum, Some("amount"), json!({}));
    let measured =
        |output| Measured { output, rules: side.output.rules.clone(), winsorization: None, bounds: Bounds::default() };
    let columns = [(measured(0), vec![1.0, 2.0]), (measured(1), vec![3.0, 4.0])];
    let places = Places { property: 0, values: vec![Some("it's".into()), None], has_rest: true };
    let both = [(&columns[0].0, &columns[0].1), (&columns[1].0, &columns[1].1)];
    vec![
        scope.subjects(&assignments, ASSIGNED),
        scope.entered(&assignments, &facts),
        scope.assigned(),
        property_values(&scope, 0, "country", &[]),
        cells(&scope, "Orders: by 'country'", "values_0", &places, &columns, 1, &[]),
        cell_products(&scope, "Orders: by 'country'", ["values_0", "values_1"], &places, both),
        products(&scope, "values_0 and values_1", ["values_0", "values_1"], &[both]),
        crossed(&scope, [&places, &places], &[]),
    ]
}

/// The statements of a percentile and of a funnel on two sources.
fn statements_of_facts() -> Vec<Step> {
    let scope = scope();
    let phones = json!({"filters": [{"property": "country", "operation": "equals", "values": ["DE"]}]});
    let week = json!({"timeframe": {"end": 7, "unit": "days"}});
    let (orders, amount) = side("at", Operation::Mean, Some("amount"), week);
    let (_, first) = side("at", Operation::Conversion, None, phones);
    let (_, second) = side("at", Operation::Conversion, Some("amount"), json!({}));
    let (returns, last) = side("day", Operation::Conversion, None, json!({}));
    let mut steps = vec![
        percentile::pool(&scope, &orders, KeyKind::Int, &amount.output, "pooled_0"),
        percentile::pooled(&scope, "Orders", "pooled_0"),
        percentile::ordered(&scope, "p95", "pooled_0", &[(0, vec![90, 95, 96, 99]), (1, vec![1, 2])]),
        percentile::shares(&scope, "p95", "pooled_0", &[1.5, 0.0]),
        orders.joined(&scope, KeyKind::Int),
    ];
    for (number, from) in [(1, WindowStart::Assignment), (2, WindowStart::FirstStep)] {
        let window = Some(ConversionWindow { length: number, unit: TimeUnit::Days, from });
        let sources = [
            funnel::Sourced { facts: &orders, outputs: vec![(0, first.output.clone()), (1, second.output.clone())] },
            funnel::Sourced { facts: &returns, outputs: vec![(2, last.output.clone())] },
        ];
        let table = format!("funnel_{number}");
        steps.push(funnel::candidates(&scope, "Funnel", KeyKind::Int, &sources, 3, window, &table));
        steps.push(funnel::reached(&scope, "Funnel", &table, 3, window));
    }
    steps
}

/// A change of any statement shows in a change of the file.
#[test]
fn the_steps_of_a_run_are_as_they_were() {
    let scope = scope();
    let mut steps = vec![
        scope.census(&assignments()),
        scope.keys_seen(&assignments()),
        scope.subjects(&assignments(), SUBJECTS),
        scope.traffic(&[]),
    ];
    let winsorization = json!({"winsorization": {"lower_value": 0, "upper_percentile": 0.99}});
    let week = json!({"timeframe": {"end": 7, "unit": "days", "only_aged": true}});
    let month = json!({"timeframe": {"start": 1, "end": 30, "unit": "calendar_days"}, "filters": [
        {"property": "country", "operation": "equals", "values": ["DE", "AT"]}]});
    let threshold = json!({"threshold": {"of": "sum", "comparison": "gte", "value": 100, "within": {"length": 2, "unit": "weeks"}}});
    let retention = json!({"retention_threshold_days": 14});
    let (_, aged) = side("at", Operation::Retention, None, retention.clone());
    steps.push(scope.traffic(&[aged.output.rules.aged]));
    steps.extend(statements(vec![
        side("at", Operation::Sum, Some("amount"), json!({})),
        side("at", Operation::Count, None, json!({})),
        side("at", Operation::Sum, Some("amount"), winsorization),
        side("at", Operation::Mean, Some("amount"), week),
        side("at", Operation::CountDistinct, Some("country"), month),
        side("at", Operation::FirstValue, Some("amount"), json!({})),
        side("at", Operation::LastValue, Some("amount"), json!({})),
        side("at", Operation::DistinctEntity, None, json!({})),
        side("at", Operation::Conversion, None, json!({"conversion_threshold_days": 3})),
        side("at", Operation::Retention, None, retention),
        side("at", Operation::Threshold, Some("amount"), threshold),
        side("at", Operation::TimeTo, Some("amount"), json!({})),
    ]));
    steps.extend(statements(vec![side("day", Operation::Count, None, json!({}))]));
    steps.extend(of_properties());
    steps.extend(statements_of_facts());
    let text: String =
        steps.iter().map(|step| format!("-- {}: {:?}\n{};\n\n", step.name, step.rows, step.sql)).collect();
    let expected = include_str!("snapshot.sql");
    if text != expected {
        let seen = std::env::temp_dir().join("steps.snapshot.sql");
        std::fs::write(&seen, &text).unwrap();
        panic!(
            "the steps have changed; if that is meant, move {} to pipeline/steps/snapshot.sql\n{text}",
            seen.display()
        );
    }
}
