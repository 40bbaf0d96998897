// One stream of events for all pages of a browser: each page is told which experiment something has happened to.
"use strict";

const ports = new Set();
let source = null;

onconnect = ({ ports: [port] }) => {
  ports.add(port);
  port.onmessage = ({ data }) => follow(data);
  port.start();
};

function follow(address) {
  if (source && source.readyState !== EventSource.CLOSED) return;
  source = new EventSource(address);
  const tell = ({ data }) => {
    const { experiment_id: experiment } = JSON.parse(data);
    for (const port of ports) port.postMessage(experiment);
  };
  for (const name of ["metric", "configuration", "status", "calculated_metrics"]) {
    source.addEventListener(`experiment.${name}.updated`, tell);
  }
}
