/** LiveCodeBench (arXiv 2403.07974), code generation: contest problems, judged by public and hidden tests; pass@1. */
import { randomUUID } from "node:crypto";
import { roomForAnswer } from "../checks.ts";
import { readRows, rowSamples } from "../data/row-samples.ts";
import type { Row } from "../data/row.ts";
import { meanScore, promptIds } from "../task.ts";
import type { DataFile, GenerationSample, GenerationTask, Score, ScoreOptions, TaskPrompt, TaskTokenizer } from "../task.ts";
import { lastCodeBlock } from "./extract.ts";
import { testsOf } from "./livecodebench-tests.ts";
import type { ProblemTests, ProgramTest } from "./livecodebench-tests.ts";
import { callDriver, prelude } from "./python.ts";
import { sameOutput } from "./same-output.ts";
import { runPython } from "./sandbox.ts";

const name = "livecodebench";
const styles = ["benchmark"] as const;
const maxTokens = 16_384;
/** For each test, as the benchmark's own judge. */
const limits = { seconds: 6, memory: 4096 };

const file: DataFile = {
  task: name,
  names: ["livecodebench.jsonl", "test.jsonl", "test6.jsonl", "test5.jsonl"],
  fixture: "code/livecodebench.jsonl",
  from: "a release of https://huggingface.co/datasets/livecodebench/code_generation_lite",
  fields: "one JSON object a line with question_id, question_content, starter_code, difficulty, public_test_cases, private_test_cases and metadata",
};

export const livecodebench: GenerationTask = {
  kind: "generation",
  name,
  family: "code",
  title: "Contest problems in Python",
  metric: "pass@1",
  styles,
  reads: file,
  aggregate: meanScore,
  open(options) {
    return rowSamples({ name, styles }, options, () => readRows(file, options.data, checkedRow), (row, _, length) => sampleOf(row, options.tokenizer, length));
  },
  score: judge,
};

function sampleOf(row: Row, tokenizer: TaskTokenizer, length: number): GenerationSample {
  const id = row.text("question_id");
  const prompt = promptOf(row);
  const tests = testsOf(row);
  const promptTokens = promptIds(tokenizer, prompt).length;
  return {
    id,
    prompt,
    maxTokens: roomForAnswer({ name }, id, promptTokens, length, maxTokens),
    stop: [],
    expected: [JSON.stringify(tests)],
    facts: { promptTokens, tests: tests.tests.length, ...(row.has("difficulty") ? { subject: row.text("difficulty") } : {}) },
  };
}

/** A row whose prompt can be made; its tests, often megabytes, are unpacked with its sample. @throws FormatError */
function checkedRow(row: Row): Row {
  row.text("question_id");
  promptOf(row);
  return row;
}

/** The benchmark's generic prompt, its system message as first line. */
function promptOf(row: Row): TaskPrompt {
  const starter = row.text("starter_code").trimEnd();
  const format =
    starter === ""
      ? "Read the inputs from stdin solve the problem and write the answer to stdout (do not directly test on the sample inputs). Enclose your code within delimiters as follows. Ensure that when the python program runs, it reads the inputs, runs the algorithm and writes output to STDOUT."
      : "You will use the following starter code to write the solution to the problem and enclose your code within delimiters.";
  const text = `You are an expert Python programmer. You will be given a question (problem specification) and will generate a correct Python program that matches the specification and passes all tests.\n\n### Question:\n${row.text("question_content")}\n\n### Format: ${format}\n\`\`\`python\n${starter === "" ? "# YOUR CODE HERE" : starter}\n\`\`\`\n\n### Answer: (use the provided format with backticks)\n\n`;
  return { form: "chat", text };
}

/** 1 when every test passes; stops at the first that does not. */
async function judge({ expected }: GenerationSample, output: string, options: ScoreOptions): Promise<Score> {
  const { tests, method } = JSON.parse(expected[0] ?? "") as ProblemTests;
  const code = lastCodeBlock(output);
  if (code === undefined) return { value: 0, details: { passed: 0, tests: tests.length, error: "no code block" } };
  for (const [passed, test] of tests.entries()) {
    const error = await failureOf(prelude + code, test, method, options);
    if (error !== undefined) return { value: 0, details: { passed, tests: tests.length, error } };
  }
  return { value: 1, details: { passed: tests.length, tests: tests.length } };
}

/** Why a program fails a test; undefined when it passes. */
async function failureOf(program: string, test: ProgramTest, method: string | undefined, { signal, allowNetwork = false }: ScoreOptions): Promise<string | undefined> {
  const right = randomUUID();
  const source = method === undefined ? program : program + callDriver(method, right);
  const stdin = method === undefined ? test.input : JSON.stringify(test);
  const { end, stdout, stderr } = await runPython(source, { ...limits, stdin, allowNetwork, ...(signal === undefined ? {} : { signal }) });
  if (end !== "done") return `${end}: ${stderr.trim().split("\n").at(-1) ?? ""}`;
  if (method !== undefined) return stdout.endsWith(`\n${right}\n`) ? undefined : "wrong result";
  return sameOutput(stdout, test.output) ? undefined : "wrong output";
}
