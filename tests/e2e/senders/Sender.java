import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import io.cloudevents.CloudEvent;
import io.cloudevents.core.builder.CloudEventBuilder;
import io.cloudevents.core.data.PojoCloudEventData;
import io.cloudevents.core.message.Encoding;
import io.cloudevents.jackson.JsonFormat;
import io.cloudevents.kafka.CloudEventSerializer;
import java.net.URI;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * An ERP and a device gateway in Java, which send as the documentation of their client libraries shows. Jackson writes
 * the data from records, so that a field without a value is null; times have Java's nanoseconds.
 *
 * Arguments: the mode, the broker's address, "order" or "report", the topic, the id of the event, and then the order's
 * id, or the assignment (JSON) that is reported as completed. Modes: "binary" and "structured" with the CloudEvents
 * SDK, "text" with Kafka's own client alone.
 */
public class Sender {
    private static final ObjectMapper JSON =
        new ObjectMapper().setPropertyNamingStrategy(PropertyNamingStrategies.SNAKE_CASE);

    record Line(String lineId, String productCode, String recipeCode, int quantity) {}

    record Order(
        String orderId,
        int revision,
        List<Line> lines,
        String priority,
        Instant deadline,
        Boolean autoActivate,
        String customerRef) {}

    record Report(
        String taskId,
        long fence,
        String deviceId,
        String projectId,
        String outcome,
        Integer reworkFromStep,
        String startedAt,
        String at,
        Map<String, Object> measurements,
        String reason) {}

    record Message(String topic, String key, String id, String type, String source, Object data) {}

    public static void main(String[] args) throws Exception {
        String mode = args[0];
        Message message = args[2].equals("order") ? order(args[3], args[4], args[5]) : report(args[3], args[4], args[5]);
        Properties properties = new Properties();
        properties.put(ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, args[1]);
        properties.put(ProducerConfig.KEY_SERIALIZER_CLASS_CONFIG, StringSerializer.class);
        switch (mode) {
            case "binary" -> sendEvent(properties, message);
            case "structured" -> {
                properties.put(CloudEventSerializer.ENCODING_CONFIG, Encoding.STRUCTURED);
                properties.put(CloudEventSerializer.EVENT_FORMAT_CONFIG, JsonFormat.CONTENT_TYPE);
                sendEvent(properties, message);
            }
            case "text" -> sendText(properties, message);
            default -> throw new IllegalArgumentException("no mode " + mode);
        }
    }

    static Message order(String topic, String id, String orderId) {
        Order order = new Order(orderId, 1, List.of(new Line("10", null, "BELL", 1)), "HIGH", null, null, null);
        return new Message(topic, orderId, id, "erp.order.requested.v1", "urn:erp:java", order);
    }

    static Message report(String topic, String id, String assignment) throws JsonProcessingException {
        JsonNode task = JSON.readTree(assignment);
        Report report = new Report(
            task.get("task_id").asText(),
            task.get("fence").asLong(),
            task.get("device_id").asText(),
            task.get("project_id").asText(),
            "GOOD",
            null,
            null,
            Instant.now().toString(),
            null,
            null);
        return new Message(topic, report.projectId(), id, "device.task.completed.v1", "urn:gateway:java", report);
    }

    static void sendEvent(Properties properties, Message message) throws Exception {
        properties.put(ProducerConfig.VALUE_SERIALIZER_CLASS_CONFIG, CloudEventSerializer.class);
        CloudEvent event = CloudEventBuilder.v1()
            .withId(message.id())
            .withType(message.type())
            .withSource(URI.create(message.source()))
            .withTime(OffsetDateTime.now())
            .withData("application/json", PojoCloudEventData.wrap(message.data(), JSON::writeValueAsBytes))
            .build();
        try (KafkaProducer<String, CloudEvent> producer = new KafkaProducer<>(properties)) {
            producer.send(new ProducerRecord<>(message.topic(), message.key(), event)).get();
        }
    }

    static void sendText(Properties properties, Message message) throws Exception {
        properties.put(ProducerConfig.VALUE_SERIALIZER_CLASS_CONFIG, StringSerializer.class);
        Map<String, Object> event = new LinkedHashMap<>();
        event.put("specversion", "1.0");
        event.put("id", message.id());
        event.put("type", message.type());
        event.put("source", message.source());
        event.put("time", Instant.now().toString());
        event.put("data", message.data());
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(properties)) {
            producer.send(new ProducerRecord<>(message.topic(), message.key(), JSON.writeValueAsString(event))).get();
        }
    }
}
