import { Template } from "@huggingface/jinja";
import { ConfigError, FormatError } from "@infllm/tensor";
import { isJsonObject } from "../config/options.ts";

export interface ChatMessage {
  readonly role: "system" | "user" | "assistant" | (string & {});
  readonly content: string;
}

/** Further variables for the template, e.g. `{ enable_thinking: false }`. */
export type ChatTemplateOptions = Readonly<Record<string, unknown>>;

/** A Jinja chat template, as checkpoints carry it. */
export class ChatTemplate {
  readonly #template: Template;

  /** @throws FormatError when the template cannot be parsed */
  constructor(
    readonly source: string,
    readonly bosToken: string | undefined,
    readonly eosToken: string | undefined,
  ) {
    try {
      this.#template = new Template(source);
    } catch (error) {
      throw new FormatError(`The model's chat template cannot be parsed: ${String(error)}`, { cause: error });
    }
  }

  /** The template in `chat_template` of a tokenizer config: a string, or the default one of a named list. */
  static find(value: unknown): string | undefined {
    if (typeof value === "string") return value;
    if (!Array.isArray(value)) return undefined;
    const named = value.filter(isJsonObject).find((entry) => entry["name"] === "default")?.["template"];
    return typeof named === "string" ? named : undefined;
  }

  /** Does the template read a variable of this name? */
  reads(variable: string): boolean {
    return new RegExp(`\\b${variable}\\b`).test(this.source);
  }

  /** The prompt text, ending where the assistant's answer begins. @throws ConfigError when the template refuses */
  render(messages: readonly ChatMessage[], options: ChatTemplateOptions = {}): string {
    if (messages.length === 0) throw new ConfigError("A chat needs at least one message; the list is empty.");
    try {
      return this.#template.render({
        ...options,
        messages: messages.map((message) => ({ ...message })),
        add_generation_prompt: true,
        bos_token: this.bosToken ?? "",
        eos_token: this.eosToken ?? "",
      });
    } catch (error) {
      throw new ConfigError(`The model's chat template refused the messages: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      });
    }
  }
}
