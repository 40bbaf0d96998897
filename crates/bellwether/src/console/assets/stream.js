// One stream of events for all pages of a browser: each page is told which experiment something has happened to.
"use strict";

const NAMES = ["metric", "configuration", "status", "calculated_metrics"];
const ports = new Set();
let source = null;

onconnect = ({ ports: [port] }) => {
  ports.add(port);
  port.onmessage = ({ data }) => follow(data);
  port.start();
};

function tell(experiment) {
  for (const port of ports) port.postMessage(experiment);
}

function follow(address) {
  if (source && source.readyState !== EventSource.CLOSED) return;
  source = new EventSource(address);
  for (const name of NAMES) {
    source.addEventListener(`experiment.${name}.updated`, ({ data }) => tell(JSON.parse(data).experiment_id));
  }
  // A connection that breaks is made again by the browser; one that is refused is not. Pages look why: the session may be over.
  source.onerror = () => {
    if (source.readyState !== EventSource.CLOSED) return;
    tell(null);
    setTimeout(follow, 30_000, address);
  };
}
