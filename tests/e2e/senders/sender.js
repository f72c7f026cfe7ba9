/**
 * An ERP and a device gateway in JavaScript, which send as the documentation of KafkaJS shows.
 *
 * Arguments: the mode ("binary" or "structured"), the broker's address, "order" or "report", the topic, the id of the
 * event, and then the order's id, or the assignment (JSON) that is reported as completed.
 */
const { Kafka } = require("kafkajs");

const [mode, broker, what, topic, id, subject] = process.argv.slice(2);

function order(orderId) {
  return {
    key: orderId,
    type: "erp.order.requested.v1",
    data: { order_id: orderId, revision: 1, lines: [{ line_id: "10", recipe_code: "BELL", quantity: 1 }] },
  };
}

function report(task) {
  const { task_id, fence, device_id, project_id } = task;
  return {
    key: project_id,
    type: "device.task.completed.v1",
    data: { task_id, fence, device_id, project_id, outcome: "GOOD", at: new Date().toISOString() },
  };
}

function toMessage({ key, type, data }) {
  const attributes = { specversion: "1.0", id, type, source: "/node", time: new Date().toISOString() };
  if (mode === "structured") {
    return { key, value: JSON.stringify({ ...attributes, data }) };
  }
  const headers = Object.fromEntries(Object.entries(attributes).map(([name, value]) => [`ce_${name}`, value]));
  return { key, value: JSON.stringify(data), headers: { ...headers, "content-type": "application/json" } };
}

async function main() {
  const message = toMessage(what === "order" ? order(subject) : report(JSON.parse(subject)));
  const kafka = new Kafka({ clientId: "my-app", brokers: [broker] });
  const producer = kafka.producer();
  await producer.connect();
  await producer.send({ topic, messages: [message] });
  await producer.disconnect();
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
