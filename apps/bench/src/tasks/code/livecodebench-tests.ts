/** Tests of a LiveCodeBench problem: inputs with the outputs expected for them. */
import { inflateSync } from "node:zlib";
import { FormatError } from "@infllm/tensor";
import { parseJson, Row } from "../data/row.ts";
import { unpickleText } from "./unpickle.ts";

export interface ProgramTest {
  readonly input: string;
  readonly output: string;
}

export interface ProblemTests {
  readonly tests: readonly ProgramTest[];
  /** Method of `Solution` that the tests call; undefined where programs read standard input. */
  readonly method: string | undefined;
}

/** Public tests, then hidden ones. @throws FormatError (file, line and field) */
export function testsOf(row: Row): ProblemTests {
  const tests = [...parseTests(row, "public_test_cases"), ...(row.has("private_test_cases") ? parseTests(row, "private_test_cases") : [])];
  if (tests.length === 0) throw new FormatError(`${row.where} has no test in "public_test_cases" or "private_test_cases".`);
  const functional = tests[0]?.kind === "functional";
  const method = functional ? new Row(parseJson(row.text("metadata"), `${row.where}, field "metadata"`), `${row.where}, metadata`).text("func_name") : undefined;
  return { tests: tests.map(({ input, output }) => ({ input, output })), method };
}

function parseTests(row: Row, field: string): (ProgramTest & { kind: string })[] {
  const where = `${row.where}, field "${field}"`;
  const list = parseJson(jsonOf(row.text(field), where), where);
  if (!Array.isArray(list)) throw new FormatError(`${where} holds no list of tests.`);
  return list.map((item, at) => {
    const test = new Row(item, `${where}, test ${at}`);
    return { input: test.text("input"), output: test.text("output"), kind: test.text("testtype") };
  });
}

/** Hidden tests are JSON, or JSON in a pickle, deflated, in base64. */
function jsonOf(text: string, where: string): string {
  if (text.trimStart().startsWith("[")) return text;
  let bytes: Uint8Array;
  try {
    bytes = inflateSync(Buffer.from(text, "base64"));
  } catch (error) {
    throw new FormatError(`${where} is neither a JSON list nor deflated base64: ${String(error)}`, { cause: error });
  }
  return unpickleText(bytes);
}
