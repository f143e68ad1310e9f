// Parses the INI text that the vSphere CSI driver and the Velero Plugin for vSphere keep in a Secret into sections and keys.
//
// The grammar is that of gopkg.in/gcfg.v1 (git-config's), which both of them use: `#` and `;` start a comment outside quotes, quoted and
// bare pieces of one value are joined, and a backslash at a line's end joins lines. Names of sections and keys are case-insensitive.

import { TerminalError } from '#shared/kernel/errors.ts'

const VSPHERE_CONFIG_INVALID = 'VSphereConfigInvalid'

/** A key's value and its line number. A key alone on its line has the value `undefined`. */
export type IniValue = { value: string | undefined; line: number }

/** `name` in lower case; `label` is the text in quotes, or ''. A section that appears twice is one section. */
export type IniSection = { name: string; label: string; line: number; values: Map<string, IniValue> }

/**
 * gcfg knows the first four; the others are Go's own (the plugin up to 1.3 read values as Go strings), and `\'` is in the plugin's
 * manual. Text that gcfg accepts has the same meaning here.
 */
const ESCAPES: Record<string, string> = { '\\': '\\', '"': '"', n: '\n', t: '\t', "'": "'", r: '\r' }

/** Throws TerminalError VSphereConfigInvalid with the line and the fix; a message never holds a value. */
export function parseIni(text: string): IniSection[] {
  return new IniReader(text).sections()
}

/** `where` names the text ("line 7"), `fix` says what to write instead. */
export function invalidConfig(where: string, fix: string): TerminalError {
  return new TerminalError(VSPHERE_CONFIG_INVALID, `vSphere configuration, ${where}: ${fix}`)
}

class IniReader {
  readonly #text: string
  readonly #sections = new Map<string, IniSection>()
  #at = 0
  #line = 1

  constructor(text: string) {
    this.#text = text.replace(/^\uFEFF/, '').replaceAll('\r\n', '\n')
  }

  sections(): IniSection[] {
    let section: IniSection | undefined
    while (this.#skipToStatement()) {
      if (this.#peek() === '[') {
        section = this.#readHeader()
        continue
      }
      const line = this.#line
      const key = this.#readName('a key such as `user = "…"` or a section such as `[Global]`')
      if (section === undefined) throw this.#wrong('put this key below a section such as `[Global]`', line)
      section.values.set(key.toLowerCase(), { value: this.#readAssigned(), line })
    }
    return [...this.#sections.values()]
  }

  #readHeader(): IniSection {
    const line = this.#line
    this.#at++
    this.#skipBlanks()
    const name = this.#readName('a section name, as in `[VirtualCenter "vc.example.com"]`').toLowerCase()
    this.#skipBlanks()
    const label = this.#peek() === '"' ? this.#readQuoted() : ''
    this.#skipBlanks()
    if (this.#peek() !== ']') throw this.#wrong('close the section with `]` and put its name in double quotes', line)
    this.#at++
    this.#endStatement()
    const id = `${name}\n${label}`
    const section = this.#sections.get(id) ?? { name, label, line, values: new Map() }
    this.#sections.set(id, section)
    return section
  }

  #readName(expected: string): string {
    const found = /^\p{L}[\p{L}\p{Nd}-]*/u.exec(this.#text.slice(this.#at, this.#at + 200))
    if (found === null) throw this.#wrong(`expected ${expected}`)
    this.#at += found[0].length
    return found[0]
  }

  #readAssigned(): string | undefined {
    this.#skipBlanks()
    if (this.#peek() !== '=') {
      if (!this.#atStatementEnd()) throw this.#wrong('put `=` between the key and its value')
      return undefined
    }
    this.#at++
    this.#skipBlanks()
    return this.#readValue()
  }

  #readValue(): string {
    let value = ''
    // Blanks count only when more follows on the line.
    let blanks = ''
    while (!this.#atStatementEnd()) {
      const next = this.#peek()
      if (next === ' ' || next === '\t' || next === '\r') {
        blanks += next
        this.#at++
        continue
      }
      if (next === '\\') {
        value += blanks + this.#readBareEscape()
      } else if (next === '"') {
        value += blanks + this.#readQuoted()
      } else {
        value += blanks + next
        this.#at++
      }
      blanks = ''
    }
    return value
  }

  /** Outside quotes, a backslash is allowed only before a double quote or a line's end. */
  #readBareEscape(): string {
    const next = this.#text[this.#at + 1]
    if (next !== '"' && next !== '\n') {
      throw this.#wrong('put the value in double quotes and write `\\\\` for each backslash')
    }
    this.#at++
    if (next === '\n') this.#skipLineEnd()
    else this.#at++
    return next === '\n' ? '' : '"'
  }

  #readQuoted(): string {
    const line = this.#line
    let value = ''
    this.#at++
    while (this.#peek() !== '"') {
      const next = this.#peek()
      if (next === undefined || next === '\n') throw this.#wrong('a double quote is not closed on its line', line)
      value += next === '\\' ? this.#readEscape() : next
      if (next !== '\\') this.#at++
    }
    this.#at++
    return value
  }

  #readEscape(): string {
    const meant = ESCAPES[this.#text[this.#at + 1] ?? '']
    if (meant === undefined) throw this.#wrong('write `\\\\` for a backslash in a quoted value')
    this.#at += 2
    return meant
  }

  /** true: something other than blanks, comments and empty lines follows. */
  #skipToStatement(): boolean {
    for (;;) {
      this.#skipBlanks()
      const next = this.#peek()
      if (next === undefined) return false
      if (next === '#' || next === ';') this.#skipComment()
      else if (next === '\n') this.#skipLineEnd()
      else return true
    }
  }

  #endStatement(): void {
    this.#skipBlanks()
    if (!this.#atStatementEnd()) throw this.#wrong('start a new line after the section name')
  }

  #atStatementEnd(): boolean {
    const next = this.#peek()
    return next === undefined || next === '\n' || next === '#' || next === ';'
  }

  #skipComment(): void {
    const end = this.#text.indexOf('\n', this.#at)
    this.#at = end === -1 ? this.#text.length : end
  }

  #skipLineEnd(): void {
    this.#at++
    this.#line++
  }

  #skipBlanks(): void {
    while (this.#peek() === ' ' || this.#peek() === '\t' || this.#peek() === '\r') this.#at++
  }

  #peek(): string | undefined {
    return this.#text[this.#at]
  }

  #wrong(fix: string, line = this.#line): TerminalError {
    return invalidConfig(`line ${line}`, fix)
  }
}
