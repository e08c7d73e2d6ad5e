// Drives @fal-ai/client against a twin at the address given, and prints what came back as one JSON object.
// The client knows only fal's own hosts; the fetch given to it carries them to the twin's path prefixes, and nothing else is changed.
import { createFalClient } from "@fal-ai/client";

const twin = process.argv[2];
const prefixes = {
  "https://queue.fal.run": "/queue",
  "https://fal.run": "/run",
  "https://rest.fal.ai": "/rest",
};

const carry = (url, options) => {
  const { origin, href } = new URL(url);
  return fetch(origin in prefixes ? twin + prefixes[origin] + href.slice(origin.length) : url, options);
};

const fal = createFalClient({ credentials: "id:secret", fetch: carry });
const schnell = "fal-ai/flux/schnell";
const input = { prompt: "a fox", image_size: "square", seed: 7 };

const subscribe = async (mode) => {
  const states = [];
  let logs = [];
  const onQueueUpdate = (update) => {
    states.push(update.status);
    logs = update.logs ?? logs;
  };
  const options = mode ? { mode } : { pollInterval: 20 };
  const result = await fal.subscribe(schnell, { input, logs: true, onQueueUpdate, ...options });
  return { ...result, states: [...new Set(states)], logs: logs.map((line) => line.message) };
};

const queue = async () => {
  const { request_id: requestId } = await fal.queue.submit(schnell, {
    input,
    priority: "low",
    hint: "lora-1",
    startTimeout: 30,
    webhookUrl: "http://127.0.0.1:9/?job=7",
  });
  await fal.queue.subscribeToStatus(schnell, { requestId, pollInterval: 20 });
  const status = await fal.queue.status(schnell, { requestId, logs: true });
  const result = await fal.queue.result(schnell, { requestId });
  const late = await fal.queue.cancel(schnell, { requestId }).catch((error) => [error.status, error.body]);
  return { requestId, status, result, late };
};

const cancel = async () => {
  const { request_id: requestId } = await fal.queue.submit("slow/model", { input });
  await fal.queue.cancel("slow/model", { requestId });
  const { error_type: errorType } = await fal.queue.status("slow/model", { requestId });
  return errorType;
};

const stream = async () => {
  const events = await fal.stream("openrouter/router", { input: { prompt: "hello there", model: "openai/gpt-4.1" } });
  const texts = [];
  for await (const event of events) texts.push(event.output);
  await events.done();
  return texts;
};

const upload = async (size, type) => {
  const bytes = new Uint8Array(size).fill(7);
  bytes[size - 1] = 9;
  const url = await fal.storage.upload(new File([bytes], "a file.bin", { type }));
  const response = await fetch(url);
  const back = new Uint8Array(await response.arrayBuffer());
  return { size: back.length, first: back[0], last: back.at(-1), type: response.headers.get("content-type") };
};

const refused = async () => {
  try {
    await fal.run(schnell, { input: { num_images: 9 } });
  } catch (error) {
    return { name: error.name, status: error.status, fields: error.getFieldErrors("num_images").map((e) => e.type) };
  }
};

const picture = async () => {
  const blob = new Blob([await (await fetch((await fal.run(schnell, { input })).data.images[0].url)).arrayBuffer()], {
    type: "image/jpeg",
  });
  return fal.run("fal-ai/flux/dev/image-to-image", { input: { image_url: blob, prompt: "bluer" } });
};

console.log(
  JSON.stringify({
    polling: await subscribe(),
    streaming: await subscribe("streaming"),
    queue: await queue(),
    cancel: await cancel(),
    run: await fal.run(schnell, { input }),
    picture: await picture(),
    stream: await stream(),
    small: await upload(1000, "application/zip"),
    big: await upload(91 * 1024 * 1024, "application/zip"),
    refused: await refused(),
  }),
);
