// XML as SOAP needs it: a writer that escapes, and a streaming reader that turns an answer into plain objects.

import { type SaxesAttributeNS, SaxesParser, type SaxesTagNS } from 'saxes'

const XSI = 'http://www.w3.org/2001/XMLSchema-instance'
/** Far deeper than any vSphere type. */
const MAX_DEPTH = 64
/** A hundred thousand changed areas are 300,000 elements. With short tags, a few megabytes of XML could become gigabytes of objects. */
const MAX_ELEMENTS = 1_000_000

/** Written XML. Only `element` makes it, so a bare string can never get into a request unescaped. */
export class Xml {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

export type XmlContent = Xml | string | number | undefined

/** `undefined` content is left out; text and attribute values are escaped. The names are not: they must come from Dormouse's own code. */
export function element(name: string, attributes: Record<string, string>, ...content: XmlContent[]): Xml {
  const attributeText = Object.entries(attributes).map(([key, value]) => ` ${key}="${escapeXml(value)}"`)
  const inner = content.map((part) =>
    part instanceof Xml ? part.text : part === undefined ? '' : escapeXml(String(part)),
  )
  return new Xml(`<${name}${attributeText.join('')}>${inner.join('')}</${name}>`)
}

const ESCAPES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', '\r': '&#13;' }

function escapeXml(text: string): string {
  return text.replaceAll(/[&<>"\r]/g, (found) => ESCAPES[found] ?? found)
}

/**
 * A leaf without attributes is its text. Anything else is an object without a prototype: children by local name (a list when there are
 * several), `$type` = xsi:type without namespace prefix and package (`vmodl.fault.` and the like), `$text`, and the other attributes as
 * `@name`.
 */
export type XmlValue = string | XmlObject
export interface XmlObject {
  [name: string]: XmlValue | XmlValue[] | undefined
}

/** Takes the bytes of one document in parts. `push` and `end` throw an Error when it is not well-formed XML. */
export class XmlReader {
  readonly #parser = new SaxesParser({ xmlns: true, position: false })
  readonly #decoder = new TextDecoder('utf-8', { fatal: true })
  readonly #open: { object: XmlObject; text: string; plain: boolean }[] = []
  readonly #root: XmlObject = Object.create(null)
  #elements = 0

  constructor() {
    this.#parser.on('error', (error) => {
      throw error
    })
    // No answer of vSphere has one, and entity declarations are a risk.
    this.#parser.on('doctype', () => {
      throw new Error('a document type declaration is not allowed')
    })
    this.#parser.on('opentag', (tag) => this.#openTag(tag))
    this.#parser.on('text', (text) => this.#addText(text))
    this.#parser.on('cdata', (text) => this.#addText(text))
    this.#parser.on('closetag', (tag) => this.#closeTag(tag.local))
  }

  push(bytes: Uint8Array): void {
    this.#parser.write(this.#decoder.decode(bytes, { stream: true }))
  }

  /** An object whose only child is the document's root element. */
  end(): XmlObject {
    this.#parser.write(this.#decoder.decode()).close()
    return this.#root
  }

  #openTag(tag: SaxesTagNS): void {
    if (++this.#elements > MAX_ELEMENTS) throw new Error(`more than ${MAX_ELEMENTS} elements`)
    if (this.#open.length >= MAX_DEPTH) throw new Error(`nested deeper than ${MAX_DEPTH} elements`)
    const object: XmlObject = Object.create(null)
    let plain = true
    for (const attribute of Object.values(tag.attributes)) {
      const named = attributeOf(attribute)
      if (named === undefined) continue
      object[named.name] = named.value
      plain = false
    }
    this.#open.push({ object, text: '', plain })
  }

  #addText(text: string): void {
    const top = this.#open.at(-1)
    if (top !== undefined) top.text += text
  }

  #closeTag(name: string): void {
    const closed = this.#open.pop()
    if (closed === undefined) return
    const parent = this.#open.at(-1)
    if (parent !== undefined) parent.plain = false
    const into = parent?.object ?? this.#root
    if (!closed.plain && closed.text.trim() !== '') closed.object['$text'] = closed.text
    const value = closed.plain ? closed.text : closed.object
    const before = into[name]
    if (before === undefined) into[name] = value
    else if (Array.isArray(before)) before.push(value)
    else into[name] = [before, value]
  }
}

/** vCenter, govmomi's simulator and proxies all use their own prefixes: only the namespace counts. */
function attributeOf({ uri, local, prefix, value }: SaxesAttributeNS): { name: string; value: string } | undefined {
  if (prefix === 'xmlns' || local === 'xmlns') return undefined
  if (uri !== XSI) return { name: `@${local}`, value }
  return local === 'type' ? { name: '$type', value: value.split(':').at(-1)?.split('.').at(-1) ?? '' } : undefined
}

/** The child as an object; undefined for a leaf, an absent child or a list. */
export function childOf(value: XmlValue | undefined, name: string): XmlObject | undefined {
  const found = fieldOf(value, name)
  return typeof found === 'object' && !Array.isArray(found) ? found : undefined
}

/** The child's text, even when it has attributes. */
export function textOf(value: XmlValue | undefined, name: string): string | undefined {
  const found = fieldOf(value, name)
  if (typeof found === 'string') return found
  return found === undefined || Array.isArray(found) || typeof found['$text'] !== 'string' ? undefined : found['$text']
}

/** All children of that name, none or many. */
export function listOf(value: XmlValue | undefined, name: string): XmlValue[] {
  const found = fieldOf(value, name)
  return found === undefined ? [] : Array.isArray(found) ? found : [found]
}

export function typeOf(value: XmlValue | undefined): string | undefined {
  const found = fieldOf(value, '$type')
  return typeof found === 'string' ? found : undefined
}

/** A whole number that JavaScript holds exactly; undefined: absent or something else. */
export function integerOf(value: XmlValue | undefined, name: string): number | undefined {
  const text = textOf(value, name)?.trim()
  if (text === undefined || !/^[+-]?\d{1,16}$/.test(text)) return undefined
  const number = Number(text)
  return Number.isSafeInteger(number) ? number : undefined
}

function fieldOf(value: XmlValue | undefined, name: string): XmlValue | XmlValue[] | undefined {
  return typeof value === 'object' ? value[name] : undefined
}
