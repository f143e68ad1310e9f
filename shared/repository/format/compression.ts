// zstd at level 1: higher levels cost more time than the bytes that they save are worth. Any level can be decoded.

import { constants, createZstdCompress, createZstdDecompress, zstdCompressSync, zstdDecompressSync } from 'node:zlib'

const LEVEL = { [constants.ZSTD_c_compressionLevel]: 1 }
/** Data is stored raw unless compression saves at least this fraction: smaller savings are not worth the time of each reader. */
const LEAST_GAIN = 0.03

/** The compressed bytes; undefined: compression is not worth it, store the bytes raw. */
export function compress(raw: Uint8Array): Uint8Array | undefined {
  const packed = zstdCompressSync(raw, { chunkSize: mostPackedBytes(raw.length), params: LEVEL })
  return isWorthIt(packed.length, raw.length) ? packed : undefined
}

/** Exactly `rawBytes` bytes, or an exception. */
export function decompress(packed: Uint8Array, rawBytes: number): Uint8Array {
  const raw = zstdDecompressSync(packed, { chunkSize: Math.max(64, rawBytes), maxOutputLength: Math.max(1, rawBytes) })
  if (raw.length !== rawBytes) throw new RangeError(`decompressed to ${raw.length} bytes, want ${rawBytes}`)
  return raw
}

/** The inside of every zlib stream of Node, which Node's own synchronous functions use as well. */
type Handle = {
  writeSync(
    flush: number,
    from: Uint8Array,
    at: number,
    length: number,
    into: Uint8Array,
    to: number,
    room: number,
  ): void
  onerror: (message: string) => void
}
type Engine = { handle: Handle /** Room left in the output, input left over. */; state: Uint32Array }

/**
 * Compresses and decompresses chunk after chunk in buffers of its own: each call overwrites the result of the call before. Node's
 * one-shot functions create a context and a buffer for every chunk, which costs a third of the speed and leaves the memory to the garbage
 * collector. This class uses the handle inside a stream. If that handle does not look as expected, the one-shot functions do the work.
 */
export class ChunkCodec {
  #compressor: Engine | undefined
  #decompressor: Engine | undefined
  #packed = Buffer.alloc(0)
  #raw = Buffer.alloc(0)
  #failed = false

  compress(raw: Uint8Array): Uint8Array | undefined {
    if (!handlesWork()) return compress(raw)
    const packedBytes = this.#packInto(raw)
    if (packedBytes === undefined) return compress(raw)
    return isWorthIt(packedBytes, raw.length) ? this.#packed.subarray(0, packedBytes) : undefined
  }

  decompress(packed: Uint8Array, rawBytes: number): Uint8Array {
    // If this fails, the one-shot function does the work, or reports what is wrong with the bytes.
    return (handlesWork() ? this.#unpack(packed, rawBytes) : undefined) ?? decompress(packed, rawBytes)
  }

  /** Whether both directions work as expected on this version of Node. */
  passesCheck(): boolean {
    const sample = Buffer.from('dormouse '.repeat(40))
    for (let round = 0; round < 2; round++) {
      const packedBytes = this.#packInto(sample) ?? 0
      const packed = this.#packed.subarray(0, packedBytes)
      if (!sample.equals(zstdDecompressSync(packed))) return false
      if (!sample.equals(this.#unpack(Buffer.from(packed), sample.length) ?? packed)) return false
    }
    return true
  }

  #packInto(raw: Uint8Array): number | undefined {
    const room = mostPackedBytes(raw.length)
    if (this.#packed.length < room) this.#packed = Buffer.alloc(room)
    this.#compressor ??= engineOf(createZstdCompress({ params: LEVEL }))
    const packedBytes = this.#run(this.#compressor, raw, this.#packed, room)
    // After a failure the compressor's state is lost.
    if (packedBytes === undefined) this.#compressor = undefined
    return packedBytes
  }

  #unpack(packed: Uint8Array, rawBytes: number): Uint8Array | undefined {
    if (this.#raw.length < rawBytes) this.#raw = Buffer.alloc(rawBytes)
    this.#decompressor ??= engineOf(createZstdDecompress())
    if (this.#run(this.#decompressor, packed, this.#raw, rawBytes) === rawBytes) return this.#raw.subarray(0, rawBytes)
    this.#decompressor = undefined
    return undefined
  }

  /** Number of bytes in the output; undefined: it failed, or did not take all of the input. */
  #run(engine: Engine | undefined, from: Uint8Array, into: Uint8Array, room: number): number | undefined {
    if (engine === undefined) return undefined
    this.#failed = false
    engine.handle.onerror = () => {
      this.#failed = true
    }
    engine.handle.writeSync(constants.ZSTD_e_end, from, 0, from.length, into, 0, room)
    const [roomLeft = 0, inputLeft = 0] = engine.state
    return this.#failed || inputLeft !== 0 ? undefined : room - roomLeft
  }
}

let handlesChecked: boolean | undefined

/** Tried once in each thread. */
function handlesWork(): boolean {
  try {
    handlesChecked ??= new ChunkCodec().passesCheck()
  } catch {
    handlesChecked = false
  }
  return handlesChecked
}

function engineOf(stream: object): Engine | undefined {
  const { _handle: handle, _writeState: state } = stream as { _handle?: Handle; _writeState?: unknown }
  if (typeof handle?.writeSync !== 'function' || !(state instanceof Uint32Array) || state.length !== 2) return undefined
  return { handle, state }
}

/** ZSTD_compressBound, rounded up: with this much room, one call takes all of the input. */
function mostPackedBytes(rawBytes: number): number {
  return rawBytes + (rawBytes >>> 7) + 1024
}

function isWorthIt(packedBytes: number, rawBytes: number): boolean {
  return packedBytes <= rawBytes * (1 - LEAST_GAIN)
}
