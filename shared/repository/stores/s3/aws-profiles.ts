// Reads the text of an AWS credentials file as aws-sdk-go-v2 does (config/internal/ini), because Velero's plugin reads the same Secret
// with it: `key: value` counts, and a line that is neither a header nor a property is skipped. Notes name unusual lines by their number,
// and never quote them.

export type Profile = ReadonlyMap<string, string>

export type ReadFile = {
  /** By name, in the order of the file. */
  profiles: ReadonlyMap<string, Profile>
  /** For a log: `line 3: …`. The notes contain nothing of the text. */
  notes: string[]
}

type Line = { raw: string; number: number }

const PREFIX = /^profile /
/** Enough to see what is wrong with a file. */
const MOST_NOTES = 10
const STRAY = 'is neither a [profile] nor key = value: it is passed over'
const TOO_EARLY = 'stands before any [profile]: it is passed over'
const COLON = 'is key: value, which not every SDK reads: write key = value'

export function readProfiles(text: string): ReadFile {
  const reader = new Reader()
  const lines = text.replace(/^\uFEFF/, '').split(/\r\n|\r|\n/)
  for (const [index, raw] of lines.entries()) reader.take({ raw, number: index + 1 })
  return { profiles: reader.profiles(), notes: reader.notes.slice(0, MOST_NOTES) }
}

class Reader {
  readonly notes: string[] = []
  private readonly sections = new Map<string, Map<string, string>>()
  private section: Map<string, string> | undefined
  /** Key of the property before: an indented line may belong to it. */
  private lastKey = ''

  take(line: Line): void {
    if (line.raw.trim() === '' || /^[ \t]*[#;]/.test(line.raw)) return
    const header = headerOf(line.raw)
    if (header === undefined) this.takeProperty(line)
    else this.open(header)
  }

  private takeProperty(line: Line): void {
    const isIndented = /^[ \t]/.test(line.raw)
    const property = splitProperty(isIndented ? line.raw : cutComment(line.raw))
    const odd =
      property === undefined ? STRAY : this.section === undefined ? TOO_EARLY : property.separator === ':' ? COLON : ''
    if (odd !== '') this.notes.push(`line ${line.number} ${odd}`)
    if (property === undefined || this.section === undefined) return
    const value = unquoted(property.value)
    // `s3 =` opens a block: its indented lines belong to that block and are not properties of the profile.
    if (isIndented && this.lastKey !== '' && this.section.get(this.lastKey) === '') return
    this.lastKey = property.key
    this.section.set(property.key, isIndented ? cutComment(value).trim() : value)
  }

  /** Merges `[profile x]`, the form of a config file, with `[x]`, which takes precedence. */
  profiles(): Map<string, Profile> {
    const merged = new Map<string, Map<string, string>>()
    for (const name of this.sections.keys()) merged.set(name.replace(PREFIX, ''), new Map())
    for (const isPlain of [false, true]) {
      for (const [name, section] of this.sections) {
        if (PREFIX.test(name) === isPlain) continue
        const into = merged.get(name.replace(PREFIX, ''))
        for (const [key, value] of section) into?.set(key, value)
      }
    }
    return merged
  }

  private open(name: string): void {
    this.lastKey = ''
    this.section = undefined
    if (name === '') return
    this.section = this.sections.get(name) ?? new Map<string, string>()
    this.sections.set(name, this.section)
  }
}

/** `[ profile name ] ; comment`; undefined: not a header. A quoted name counts without its quotation marks. */
function headerOf(raw: string): string | undefined {
  const line = raw.replace(/[#;].*$/, '').trim()
  if (!line.startsWith('[') || !line.endsWith(']')) return undefined
  const name = line.slice(1, -1).trim()
  const space = /[ \t]/.exec(name)
  if (space === null) return unquoted(name)
  return `${name.slice(0, space.index)} ${unquoted(name.slice(space.index).trim())}`
}

function splitProperty(text: string): { key: string; value: string; separator: ':' | '=' } | undefined {
  const at = text.search(/[=:]/)
  const key = at < 0 ? '' : text.slice(0, at).trim().toLowerCase()
  if (key === '') return undefined
  return { key, value: text.slice(at + 1).trim(), separator: text[at] === ':' ? ':' : '=' }
}

/** A comment begins with # or ; after a blank; inside a word both are ordinary characters. */
function cutComment(text: string): string {
  const comment = /[ \t][#;]/.exec(text)
  return comment === null ? text : text.slice(0, comment.index)
}

function unquoted(value: string): string {
  return /^(["'])(.*)\1$/.exec(value)?.[2] ?? value
}
