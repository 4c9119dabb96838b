import { Tokenizer as HfTokenizer } from "@huggingface/tokenizers";
import { ConfigError, FormatError } from "@infllm/tensor";
import { isJsonObject } from "../config/options.ts";
import type { JsonObject } from "../config/options.ts";
import { ChatTemplate } from "./chat-template.ts";
import type { ChatMessage, ChatTemplateOptions } from "./chat-template.ts";

/** What a tokenizer is made of, as Hugging Face stores it. */
export interface TokenizerFiles {
  /** `tokenizer.json` */
  readonly tokenizer: JsonObject;
  /** `tokenizer_config.json`; empty when absent. */
  readonly config: JsonObject;
  /** Wins over the template in `config`. */
  readonly chatTemplate?: string;
}

/** Text to token ids and back, and chats to prompts. */
export class Tokenizer {
  readonly #hf: HfTokenizer;
  readonly #addBos: boolean;
  readonly #template: ChatTemplate | undefined;
  /** Token id and text that start a sequence, where the tokenizer names one. */
  readonly bos: { readonly id: number; readonly text: string } | undefined;
  readonly eos: { readonly id: number; readonly text: string } | undefined;

  /** @throws FormatError when `tokenizer.json` describes no tokenizer that can be built */
  constructor(files: TokenizerFiles) {
    try {
      this.#hf = new HfTokenizer(files.tokenizer, files.config);
    } catch (error) {
      throw new FormatError(`tokenizer.json cannot be used: ${String(error)}. It must be one that Hugging Face tokenizers wrote.`, {
        cause: error,
      });
    }
    this.bos = this.#special(files.config["bos_token"]);
    this.eos = this.#special(files.config["eos_token"]);
    this.#addBos = files.config["add_bos_token"] === true;
    const template = files.chatTemplate ?? ChatTemplate.find(files.config["chat_template"]);
    this.#template = template === undefined ? undefined : new ChatTemplate(template, this.bos?.text, this.eos?.text);
  }

  /** Number of ids with a text, added tokens included. */
  get size(): number {
    return this.#hf.get_vocab(true).size;
  }

  get hasChatTemplate(): boolean {
    return this.#template !== undefined;
  }

  /** Does the chat template read a variable of this name, such as `enable_thinking`? */
  templateReads(variable: string): boolean {
    return this.#template?.reads(variable) ?? false;
  }

  /**
   * Token ids of a text. Special tokens written out in it (`<|user|>`) become their ids.
   * @param special whether to add what the model expects around a text, such as a start token; true by default
   */
  encode(text: string, { special = true }: { readonly special?: boolean } = {}): number[] {
    const ids = this.#hf.encode(text, { add_special_tokens: special }).ids;
    return special && this.#addBos && this.bos !== undefined && ids[0] !== this.bos.id ? [this.bos.id, ...ids] : ids;
  }

  /** @param special whether special tokens appear in the text; false by default */
  decode(ids: readonly number[], { special = false }: { readonly special?: boolean } = {}): string {
    const known = ids.filter((id) => this.#hf.id_to_token(id) !== undefined);
    if (known.length === 0) return "";
    return this.#hf.decode(known, { skip_special_tokens: !special, clean_up_tokenization_spaces: false });
  }

  /**
   * Token ids of a chat, ready for the assistant's next answer.
   * @throws ConfigError without a chat template, or when the template refuses the messages
   */
  encodeChat(messages: readonly ChatMessage[], options?: ChatTemplateOptions): number[] {
    if (this.#template === undefined) {
      throw new ConfigError("This model has no chat template; pass the prompt as one string in the form the model expects.");
    }
    return this.encode(this.#template.render(messages, options), { special: false });
  }

  /** Id of a token's exact text, e.g. `<|user|>`. */
  idOf(token: string): number | undefined {
    return this.#hf.token_to_id(token);
  }

  #special(token: unknown): { id: number; text: string } | undefined {
    const text = isJsonObject(token) ? token["content"] : token;
    if (typeof text !== "string") return undefined;
    const id = this.#hf.token_to_id(text);
    return id === undefined ? undefined : { id, text };
  }
}
