import { NotAvailableError } from "@infllm/tensor";
import type { ModelFiles } from "../formats/model-files.ts";
import { readJson, readText } from "../load/read-json.ts";
import { ChatTemplate } from "./chat-template.ts";
import type { TokenizerFiles } from "./tokenizer.ts";

/** Reads the tokenizer of a Hugging Face folder. @throws NotAvailableError naming the files looked for */
export async function readTokenizerFiles(files: ModelFiles): Promise<TokenizerFiles> {
  const tokenizer = await readJson(files, "tokenizer.json");
  if (tokenizer === undefined) {
    const found = (await files.list()).filter((path) => /tokenizer|vocab|merges|sentencepiece|\.tiktoken$/.test(path));
    throw new NotAvailableError(
      `${files.name} has no tokenizer.json (tokenizer_config.json and chat_template.jinja are read beside it)` +
        `${found.length > 0 ? `; ${found.join(", ")} cannot be used alone` : ""}. ` +
        "Add the tokenizer.json of the model, or use a GGUF file, which has its tokenizer inside.",
    );
  }
  const config = (await readJson(files, "tokenizer_config.json")) ?? {};
  const chatTemplate =
    (await readText(files, "chat_template.jinja")) ??
    ChatTemplate.find((await readJson(files, "chat_template.json"))?.["chat_template"]);
  return { tokenizer, config, ...(chatTemplate === undefined ? {} : { chatTemplate }) };
}
