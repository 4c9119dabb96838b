/** Times the same file in llama.cpp: what a user of Node would pick instead. */
import { NotAvailableError, UnsupportedError } from "@infllm/tensor";
import type { Token } from "node-llama-cpp";
import { availableParallelism } from "node:os";
import { cpuSeconds, timedPrompt } from "./prompt.ts";
import type { E2eFigures, E2eSpec } from "./spec.ts";

type Llama = typeof import("node-llama-cpp");

/** What node-llama-cpp's own documentation starts from; the tokens of a step. */
const batchSize = 512;

/** @throws NotAvailableError when the package, or its build for this platform, is not installed */
export async function loadNodeLlama(): Promise<Llama> {
  try {
    return await import("node-llama-cpp");
  } catch (cause) {
    throw new NotAvailableError(
      "node-llama-cpp is not installed, so there is nothing to compare with. Run: npm install node-llama-cpp, beside this command; " +
        "or measure without it: --engines infllm.",
      { cause },
    );
  }
}

export async function timeNodeLlama(spec: E2eSpec): Promise<E2eFigures> {
  if (spec.model.kind !== "source") throw new UnsupportedError("node-llama-cpp reads GGUF files only.");
  const { getLlama, LlamaLogLevel } = await loadNodeLlama();
  const llama = await getLlama({ gpu: false, build: "never", progressLogs: false, logLevel: LlamaLogLevel.error });
  try {
    const model = await llama.loadModel({ modelPath: spec.model.source });
    const threads = spec.threads ?? availableParallelism();
    const context = await model.createContext({
      contextSize: spec.length + spec.decodeTokens + 1,
      batchSize,
      threads,
      flashAttention: spec.attention === "flash",
    });
    const sequence = context.getSequence();
    const vocabulary = model.fileInfo.metadata.tokenizer.ggml.tokens.length;
    const generate = async (length: number, count: number): Promise<{ prefill: number; prefillCpu: number; decode: number; tokens: number[] }> => {
      await sequence.clearHistory();
      const ids = timedPrompt(length, vocabulary, spec.seed) as Token[];
      const tokens: number[] = [];
      const [started, cpuBefore] = [performance.now(), cpuSeconds()];
      let [first, prefillCpu] = [started, 0];
      for await (const token of sequence.evaluate(ids, { temperature: 0, yieldEogToken: true })) {
        tokens.push(token);
        if (tokens.length === 1) [first, prefillCpu] = [performance.now(), cpuSeconds() - cpuBefore];
        if (tokens.length === count) break;
      }
      if (tokens.length !== count) throw new Error("llama.cpp stopped early; nothing was timed.");
      return { prefill: (first - started) / 1000, prefillCpu, decode: (performance.now() - first) / 1000, tokens };
    };
    await generate(Math.min(64, spec.length), 2);
    const runs = [];
    for (let run = 0; run < spec.runs; run++) runs.push(await generate(spec.length, spec.decodeTokens + 1));
    await context.dispose();
    await model.dispose();
    return {
      prefillCpuSeconds: runs.map(({ prefillCpu }) => prefillCpu),
      prefillSeconds: runs.map(({ prefill }) => prefill),
      decodeSeconds: runs.map(({ decode }) => decode),
      tokens: runs[0]?.tokens ?? [],
      device: `llama.cpp ${llama.llamaCppRelease.release}, CPU, ${threads} ${threads === 1 ? "thread" : "threads"}, batch ${batchSize}`,
    };
  } finally {
    await llama.dispose();
  }
}
