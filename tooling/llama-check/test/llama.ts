/** llama.cpp as the other opinion: loads a GGUF file and goes on greedily from given tokens. */
import { getLlama, LlamaLogLevel } from "node-llama-cpp";
import type { Token } from "node-llama-cpp";

export interface LlamaAnswer {
  readonly tokens: readonly number[];
  /** Probability of every token after the prompt. */
  readonly first: ReadonlyMap<number, number>;
}

export interface LlamaModel {
  tokenize(text: string): number[];
  greedy(ids: readonly number[], count: number): Promise<LlamaAnswer>;
  close(): Promise<void>;
}

/** node-llama-cpp's prebuilt CPU library is kept for this platform only; see pnpm-workspace.yaml. */
export const missing =
  process.platform === "linux" && process.arch === "x64"
    ? undefined
    : `the prebuilt llama.cpp is installed for linux-x64 only, this is ${process.platform}-${process.arch}`;

export async function openLlama(path: string, contextLength: number): Promise<LlamaModel> {
  const llama = await getLlama({ gpu: false, build: "never", progressLogs: false, logLevel: LlamaLogLevel.error });
  const model = await llama.loadModel({ modelPath: path });
  return {
    tokenize: (text) => model.tokenize(text, true),
    async greedy(ids, count) {
      // One thread: llama.cpp's wait spinning, which is slow on machines that do something else, too.
      const context = await model.createContext({
        contextSize: contextLength,
        batchSize: contextLength,
        threads: 1,
        flashAttention: false,
        experimentalKvCacheKeyType: "F32",
        experimentalKvCacheValueType: "F32",
      });
      const tokens: number[] = [];
      let first: ReadonlyMap<number, number> = new Map();
      const steps = context
        .getSequence()
        .evaluateWithMetadata(ids as Token[], { probabilities: true }, { temperature: 0, yieldEogToken: true });
      for await (const { token, probabilities } of steps) {
        if (tokens.length === 0) first = probabilities;
        tokens.push(token);
        if (tokens.length === count) break;
      }
      await context.dispose();
      return { tokens, first };
    },
    async close() {
      await model.dispose();
      await llama.dispose();
    },
  };
}
