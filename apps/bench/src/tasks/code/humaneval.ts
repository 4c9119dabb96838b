/** HumanEval (arXiv 2107.03374): 164 functions to complete, judged by unit tests; pass@1 of one greedy answer. */
import { randomUUID } from "node:crypto";
import { roomForAnswer } from "../checks.ts";
import { readRows, rowSamples } from "../data/row-samples.ts";
import type { Row } from "../data/row.ts";
import { meanScore, promptIds } from "../task.ts";
import type { DataFile, GenerationSample, GenerationTask, Score, ScoreOptions, TaskPrompt, TaskTokenizer } from "../task.ts";
import { lastCodeBlock } from "./extract.ts";
import { runPython } from "./sandbox.ts";

const name = "humaneval";
const styles = ["benchmark"] as const;
const maxTokens = 1024;
/** Three seconds are those of the benchmark's own judge. */
const limits = { seconds: 3, memory: 1024 };
/** Where a completed function ends, for models that go on with plain text. */
const endsOfFunction = ["\nclass ", "\ndef ", "\n#", "\nif ", "\nprint("];

const file: DataFile = {
  task: name,
  names: ["HumanEval.jsonl", "HumanEval.jsonl.gz", "humaneval.jsonl"],
  fixture: "code/humaneval.jsonl",
  from: "https://github.com/openai/human-eval/raw/master/data/HumanEval.jsonl.gz",
  fields: "one JSON object a line with task_id, prompt, entry_point and test",
};

/** What a program needs beside the model's answer. */
interface Problem {
  readonly id: string;
  readonly prompt: string;
  readonly test: string;
  readonly entryPoint: string;
}

export const humaneval: GenerationTask = {
  kind: "generation",
  name,
  family: "code",
  title: "Python functions from their descriptions",
  metric: "pass@1",
  styles,
  reads: file,
  aggregate: meanScore,
  open(options) {
    return rowSamples({ name, styles }, options, () => readRows(file, options.data, problemOf), (problem, _, length) => sampleOf(problem, options.tokenizer, length));
  },
  async score({ expected }, output, options): Promise<Score> {
    const [prompt = "", test = "", entryPoint = ""] = expected;
    return passOrFail(`${completed(prompt, output, entryPoint)}\n\n${test}\n\ncheck(${entryPoint})\n`, options);
  },
};

function problemOf(row: Row): Problem {
  return { id: row.text("task_id"), prompt: row.text("prompt"), test: row.text("test"), entryPoint: row.text("entry_point") };
}

/** Chat models are asked for the whole function, others go on behind its description. */
function sampleOf({ id, prompt, test, entryPoint }: Problem, tokenizer: TaskTokenizer, length: number): GenerationSample {
  const chat = tokenizer.hasChatTemplate;
  const asked: TaskPrompt = chat
    ? { form: "chat", text: `Complete the following Python function. Answer with the whole function in one \`\`\`python code block.\n\n\`\`\`python\n${prompt.trimEnd()}\n\`\`\`` }
    : { form: "plain", text: prompt };
  const promptTokens = promptIds(tokenizer, asked).length;
  return {
    id,
    prompt: asked,
    maxTokens: roomForAnswer({ name }, id, promptTokens, length, maxTokens),
    stop: chat ? [] : endsOfFunction,
    expected: [prompt, test, entryPoint],
    facts: { promptTokens, form: asked.form },
  };
}

/** The program up to the function's end: a whole function replaces the one of the prompt, anything else continues it. */
function completed(prompt: string, output: string, entryPoint: string): string {
  const code = lastCodeBlock(output) ?? output;
  const whole = new RegExp(`^(?:async )?def ${entryPoint}\\b`, "m").test(code);
  // The description alone is a body, so that imports and helpers of the prompt stay while its function is defined anew.
  return whole ? `${prompt}\n    pass\n\n${code}` : prompt + code;
}

/** Passed is a program that came to its last line, which an answer that exits early does not. */
async function passOrFail(program: string, { signal, allowNetwork = false }: ScoreOptions): Promise<Score> {
  const last = randomUUID();
  const run = { ...limits, allowNetwork, ...(signal === undefined ? {} : { signal }) };
  const { end, stdout, stderr } = await runPython(`${program}\nprint("\\n${last}")\n`, run);
  const passed = end === "done" && stdout.trimEnd().endsWith(`\n${last}`);
  return { value: passed ? 1 : 0, details: { end, error: stderr.trim().split("\n").at(-1) ?? "" } };
}
