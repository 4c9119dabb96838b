import { referenceBackend } from "@infllm/backend-cpu";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadModel } from "../src/index.ts";
import type { ChatMessage, Model } from "../src/index.ts";
import { collect } from "./support/collect.ts";
import { hfFiles, randomModel } from "./support/random-model.ts";

const options = { maxTokens: 6, ignoreEos: true } as const;

describe("a chat session", () => {
  let model: Model;
  beforeAll(async () => {
    model = await loadModel(hfFiles(randomModel("qwen3")), { backend: referenceBackend(), contextLength: 256 });
  });
  afterAll(() => model.close());

  it("processes only what is new, and answers as if it had processed all", async () => {
    const session = model.createSession();
    const messages: ChatMessage[] = [{ role: "user", content: "a question" }];
    const first = await collect(session, messages, options);
    expect(first.stats.cachedTokens).toBe(0);
    messages.push({ role: "assistant", content: first.text }, { role: "user", content: "another" });
    const second = await collect(session, messages, options);
    const alone = await collect(model, messages, options);
    // The first prompt and, at least, whatever of the answer is text again when it is read back.
    expect(second.stats.cachedTokens).toBeGreaterThanOrEqual(first.stats.promptTokens);
    expect(second.stats.tokens).toEqual(alone.stats.tokens);
    expect(second.stats.promptTokens).toBe(alone.stats.promptTokens);
  });

  it("goes back to where an edited conversation differs", async () => {
    const session = model.createSession();
    await collect(session, "the same beginning, one end", options);
    const edited = await collect(session, "the same beginning, another end", options);
    const alone = await collect(model, "the same beginning, another end", options);
    expect(edited.stats.cachedTokens).toBe("the same beginning, ".length + 1);
    expect(edited.stats.tokens).toEqual(alone.stats.tokens);
  });

  it("computes the last token again when nothing is new", async () => {
    const session = model.createSession();
    const once = await collect(session, "again", options);
    const twice = await collect(session, "again", options);
    expect(twice.stats.cachedTokens).toBe("again".length);
    expect(twice.stats.tokens).toEqual(once.stats.tokens);
  });

  it("starts over after another user of the model, or a reset", async () => {
    const session = model.createSession();
    await collect(session, "mine", options);
    await collect(model, "theirs", options);
    expect((await collect(session, "mine", options)).stats.cachedTokens).toBe(0);
    session.reset();
    expect((await collect(session, "mine", options)).stats.cachedTokens).toBe(0);
  });
});
