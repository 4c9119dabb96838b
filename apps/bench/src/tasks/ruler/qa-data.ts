/** SQuAD's and HotpotQA's files as one form: questions that name the documents they need. */
import { FormatError } from "@infllm/tensor";
import { parseJson, Row } from "../data/row.ts";

export interface Question {
  readonly question: string;
  /** Any of them is right. */
  readonly answers: readonly string[];
  /** Indices of the documents that must be in the prompt. */
  readonly needed: readonly number[];
  /** Indices of documents about the same subject, which come in before others. */
  readonly related: readonly number[];
}

export interface DocumentSet {
  readonly questions: readonly Question[];
  /** Without repeats. */
  readonly documents: readonly string[];
}

/** SQuAD 2.0; questions without an answer are left out. @throws FormatError (path and field) */
export function readSquad(text: string, path: string): DocumentSet {
  const articles = new Row(parseJson(text, path), path).rows("data").map((article) => article.rows("paragraphs"));
  const index = new Documents();
  const questions = articles.flatMap((paragraphs) => {
    const ids = paragraphs.map((paragraph) => index.of(paragraph.text("context")));
    return paragraphs.flatMap((paragraph, at) =>
      paragraph
        .rows("qas")
        .filter((qa) => !qa.boolean("is_impossible", false))
        .map((qa): Question => ({
          question: qa.text("question"),
          answers: answered(qa, qa.rows("answers").map((answer) => answer.text("text"))),
          needed: ids.slice(at, at + 1),
          related: ids.filter((id) => id !== ids[at]),
        })),
    );
  });
  return nonEmpty({ questions, documents: index.texts }, path);
}

/** HotpotQA with distractors: the ten paragraphs of a question are all needed. @throws FormatError (path and field) */
export function readHotpot(text: string, path: string): DocumentSet {
  const list = parseJson(text, path);
  if (!Array.isArray(list)) throw new FormatError(`${path} holds no list; expected HotpotQA's JSON list of questions.`);
  const index = new Documents();
  const questions = list.map((item, at): Question => {
    const row = new Row(item, `${path}, item ${at}`);
    const needed = paragraphs(row).map((paragraph) => index.of(paragraph));
    return { question: row.text("question"), answers: [row.text("answer")], needed, related: [] };
  });
  return nonEmpty({ questions, documents: index.texts }, path);
}

function paragraphs(row: Row): string[] {
  const context = row.value("context");
  const isParagraph = (item: unknown): item is [string, string[]] =>
    Array.isArray(item) && item.length === 2 && typeof item[0] === "string" && Array.isArray(item[1]);
  if (!Array.isArray(context) || !context.every(isParagraph)) {
    throw new FormatError(`${row.where} has something else than a list of [title, [sentence, …]] in the field "context".`);
  }
  return context.map(([title, sentences]) => `${title}\n${sentences.join("")}`);
}

function answered(qa: Row, answers: string[]): string[] {
  if (answers.length === 0) throw new FormatError(`${qa.where} has no answer in the field "answers", though is_impossible is not true.`);
  return [...new Set(answers)];
}

function nonEmpty(set: DocumentSet, path: string): DocumentSet {
  if (set.questions.length === 0) throw new FormatError(`${path} has no question with an answer.`);
  return set;
}

/** Texts by index, each once. */
class Documents {
  readonly texts: string[] = [];
  readonly #ids = new Map<string, number>();

  of(text: string): number {
    const known = this.#ids.get(text);
    if (known !== undefined) return known;
    this.#ids.set(text, this.texts.length);
    return this.texts.push(text) - 1;
  }
}
