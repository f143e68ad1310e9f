// Reads one HTTP/1.1 response from a socket straight into the buffer that the caller gets: a body of known length is received in place,
// once. The reader is strict: anything that RFC 9112 does not allow ends the connection.

import { excerptOf } from '#shared/kernel/excerpt.ts'
import { KiB } from '#shared/kernel/units.ts'
import { MOST_ERROR_BYTES } from './answers.ts'

export type ReceivedResponse = {
  statusCode: number
  reason: string
  headers: Record<string, string>
  body: Uint8Array
  /** The connection may carry another request. */
  reusable: boolean
}

/** The answer breaks HTTP, or is larger than the caller allows. */
export class ResponseError extends Error {}

/** Heads and chunk headers are read into this buffer, and bodies of unknown length pass through it. */
export const SCRATCH_BYTES = 64 * KiB
const MAX_LINE_CHARS = 8 * KiB
const HEAD_END = Buffer.from('\r\n\r\n')

type Head = { statusCode: number; reason: string; headers: Record<string, string>; persistent: boolean }
type Phase = 'head' | 'sized' | 'chunks' | 'untilClose' | 'done'

export class ResponseReader {
  private phase: Phase = 'head'
  private head: Head | undefined
  private readonly scratch: Buffer
  private scratchFilled = 0
  private body: Buffer = Buffer.alloc(0)
  private bodyFilled = 0
  private parts: Buffer[] = []
  private partsBytes = 0
  private readonly method: string
  private readonly limitBytes: number
  private readonly allocate: (bytes: number) => Buffer

  /** `scratch` has SCRATCH_BYTES, and nothing else may use it meanwhile. `limitBytes` bounds the body, `allocate` makes its buffer. */
  constructor(method: string, limitBytes: number, scratch: Buffer, allocate: (bytes: number) => Buffer) {
    this.method = method
    this.limitBytes = limitBytes
    this.allocate = allocate
    this.scratch = scratch
  }

  get started(): boolean {
    return this.head !== undefined || this.scratchFilled > 0
  }

  /** Where the next bytes of the connection belong. Never empty before the response is complete. */
  target(): Uint8Array {
    return this.phase === 'sized' ? this.body.subarray(this.bodyFilled) : this.scratch.subarray(this.scratchFilled)
  }

  /** `count` bytes were put into target(). Returns the response once it is complete. */
  received(count: number): ReceivedResponse | undefined {
    if (this.phase === 'sized') this.bodyFilled += count
    else this.scratchFilled += count
    while (this.step()) {}
    return this.phase === 'done' ? this.complete(true) : undefined
  }

  /** The server closed the connection: the end of a body without a length, otherwise an error. */
  ended(): ReceivedResponse {
    if (this.phase === 'untilClose') return this.complete(false)
    const when = this.started ? 'in the middle of the answer' : 'without an answer'
    throw Object.assign(new Error(`the connection was closed ${when}`), { code: 'ECONNRESET' })
  }

  /** Parses one more step of the scratch buffer. false: more bytes are needed. */
  private step(): boolean {
    switch (this.phase) {
      case 'head':
        return this.readHead()
      case 'sized':
        if (this.bodyFilled < this.body.length) return false
        this.phase = 'done'
        return false
      case 'chunks':
        return this.readChunk()
      case 'untilClose':
        this.keepPart(this.take(this.scratchFilled))
        return false
      case 'done':
        if (this.scratchFilled > 0) throw new ResponseError('bytes follow the end of the answer')
        return false
    }
  }

  private readHead(): boolean {
    const end = this.scratch.subarray(0, this.scratchFilled).indexOf(HEAD_END)
    if (end < 0) {
      if (this.scratchFilled === this.scratch.length) throw new ResponseError('the head of the answer is too long')
      return false
    }
    const head = parseHead(this.scratch.toString('latin1', 0, end))
    this.take(end + HEAD_END.length)
    // 1xx answers (100 Continue) come before the final answer.
    if (head.statusCode < 200) return true
    this.head = head
    this.phase = this.bodyPhase(head)
    return true
  }

  private bodyPhase(head: Head): Phase {
    if (this.method === 'HEAD' || head.statusCode === 204 || head.statusCode === 304) return 'done'
    const encoding = head.headers['transfer-encoding']
    if (encoding !== undefined) {
      if (encoding.toLowerCase() !== 'chunked')
        throw new ResponseError(`the transfer encoding ${excerptOf(encoding, 40)} is unknown`)
      return 'chunks'
    }
    const length = head.headers['content-length']
    if (length === undefined) return 'untilClose'
    if (!/^\d{1,15}$/.test(length)) throw new ResponseError(`the content length ${excerptOf(length, 40)} is no number`)
    this.checkLimit(Number(length))
    this.body = this.allocate(Number(length))
    const early = this.scratchFilled
    if (early > this.body.length) throw new ResponseError('bytes follow the end of the answer')
    this.scratch.copy(this.body, 0, 0, early)
    this.bodyFilled = early
    this.scratchFilled = 0
    return 'sized'
  }

  private chunkLeft = 0
  private chunkState: 'size' | 'data' | 'dataEnd' | 'trailer' = 'size'

  private readChunk(): boolean {
    if (this.chunkState === 'data') {
      const part = this.take(Math.min(this.chunkLeft, this.scratchFilled))
      this.keepPart(part)
      this.chunkLeft -= part.length
      if (this.chunkLeft > 0) return false
      this.chunkState = 'dataEnd'
    }
    const line = this.takeLine()
    if (line === undefined) return false
    if (this.chunkState === 'dataEnd') {
      if (line !== '') throw new ResponseError('a chunk of the answer does not end where it says')
      this.chunkState = 'size'
    } else if (this.chunkState === 'trailer') {
      if (line === '') this.phase = 'done'
    } else {
      const size = /^([0-9a-fA-F]{1,8})(?:[ \t]*;.*)?$/.exec(line)?.[1]
      if (size === undefined) throw new ResponseError('a chunk of the answer has no size')
      this.chunkLeft = Number.parseInt(size, 16)
      this.chunkState = this.chunkLeft === 0 ? 'trailer' : 'data'
    }
    return true
  }

  private takeLine(): string | undefined {
    const end = this.scratch.subarray(0, this.scratchFilled).indexOf('\r\n')
    if (end > MAX_LINE_CHARS || (end < 0 && this.scratchFilled > MAX_LINE_CHARS))
      throw new ResponseError('a line of the answer is too long')
    if (end < 0) return undefined
    const line = this.scratch.toString('latin1', 0, end)
    this.take(end + 2)
    return line
  }

  /** Copies the first bytes of the scratch buffer out and moves the rest to its start. */
  private take(count: number): Buffer {
    const taken = Buffer.from(this.scratch.subarray(0, count))
    this.scratch.copyWithin(0, count, this.scratchFilled)
    this.scratchFilled -= count
    return taken
  }

  private keepPart(part: Buffer): void {
    this.partsBytes += part.length
    this.checkLimit(this.partsBytes)
    if (part.length > 0) this.parts.push(part)
  }

  private checkLimit(bytes: number): void {
    const isError = (this.head?.statusCode ?? 0) >= 300
    const limit = isError ? Math.min(this.limitBytes, MOST_ERROR_BYTES) : this.limitBytes
    if (bytes > limit) throw new ResponseError(`the answer is larger than ${limit} bytes`)
  }

  private complete(connectionStays: boolean): ReceivedResponse {
    const head = this.head
    if (head === undefined) throw new ResponseError('the answer has no head')
    const body = this.parts.length > 0 ? Buffer.concat(this.parts) : this.body
    return { ...head, body, reusable: connectionStays && head.persistent }
  }
}

function parseHead(text: string): Head {
  const [statusLine = '', ...lines] = text.split('\r\n')
  const status = /^HTTP\/1\.([01]) (\d{3})(?: (.*))?$/.exec(statusLine)
  if (status === null) throw new ResponseError('the answer is no HTTP/1.1')
  const headers: Record<string, string> = Object.create(null)
  for (const line of lines) {
    // White space is trimmed afterwards: inside the expression, a long run of it would be matched again from each of its positions.
    const header = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):(.*)$/.exec(line)
    if (header === null) throw new ResponseError('a header of the answer is malformed')
    const name = (header[1] ?? '').toLowerCase()
    const value = (header[2] ?? '').trim()
    const before = headers[name]
    if (name === 'content-length' && before !== undefined && before !== value)
      throw new ResponseError('the answer has two lengths')
    headers[name] = before === undefined || name === 'content-length' ? value : `${before}, ${value}`
  }
  const persistent = status[1] === '1' && !/\bclose\b/i.test(headers['connection'] ?? '')
  return { statusCode: Number(status[2]), reason: status[3] ?? '', headers, persistent }
}
