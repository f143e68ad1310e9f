import { randomBytes } from 'node:crypto'
import { zstdDecompressSync } from 'node:zlib'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { CorruptionError } from '#shared/kernel/errors.ts'
import { Bitmap } from '#shared/repository/format/bitmap.ts'
import { decodeParts, encodeParts } from '#shared/repository/format/bytes.ts'
import { ChunkCodec, compress, decompress } from '#shared/repository/format/compression.ts'
import { decodeSlot } from '#shared/repository/format/decode-slot.ts'
import { unwrapSlot, wrapWithPassphrase } from '#shared/repository/format/key-slot.ts'
import { type BlobLocation, LocationTable } from '#shared/repository/format/location-table.ts'
import { checkpointKey, formatSession, parseSession, sessionInKey } from '#shared/repository/format/names.ts'
import { PackBuilder, PackReader, packBlob } from '#shared/repository/format/pack.ts'
import { RepositoryKeys } from '#shared/repository/format/repository-keys.ts'
import { openObject, sealObject } from '#shared/repository/format/sealed-object.ts'

const test = suite('format: parts')
const SESSION = '0011223344556677-8899aabbccddeeff-018bcfe56800-deadbeef'
const keys = new RepositoryKeys('ab'.repeat(16), randomBytes(32))

const hex = (digits: number) =>
  fc.uint8Array({ minLength: digits / 2, maxLength: digits / 2 }).map((bytes) => Buffer.from(bytes).toString('hex'))

function aLocation(n: number): BlobLocation {
  const id = Buffer.alloc(16)
  id.writeUInt32BE((n * 2_654_435_761) % 2 ** 32)
  const pack = `${SESSION}/${String(n % 3).padStart(16, '0')}`
  return { id, pack, offset: 40 + n, storedBytes: 100 + n, rawBytes: 200 + n, compressed: n % 2 === 0 }
}

test('session ids come back as their parts, and nothing else passes for one', () => {
  fc.assert(
    fc.property(hex(16), hex(16), fc.nat(2 ** 40), hex(8), (volumeTag, snapshotTag, startedMs, attempt) => {
      const parts = { volumeTag, snapshotTag, startedMs, attempt }
      assert.equal(parseSession(formatSession(parts)), parts)
    }),
  )
  for (const wrong of ['', 'x', `${SESSION}0`, SESSION.toUpperCase(), `../${SESSION}`, `${SESSION}/a`]) {
    assert.is(parseSession(wrong), undefined, wrong)
  }
  assert.is(sessionInKey(`roots/${SESSION}`), SESSION)
  assert.is(sessionInKey('roots/other'), undefined)
})

test('checkpoints sort by slice, then by number', () => {
  const names = [
    [1, 2],
    [1, 10],
    [2, 1],
    [10, 1],
  ].map(([slice = 0, n = 0]) => checkpointKey(SESSION, slice, n))
  assert.equal(names.toSorted(), names)
})

test('parts come back, and cut off bytes are refused', () => {
  const bytes = encodeParts({ a: 1 }, [Buffer.from('xyz'), Buffer.alloc(0)])
  const { head, parts } = decodeParts(bytes)
  assert.equal(head, { a: 1 })
  assert.equal(
    parts.map((part) => part.toString()),
    ['xyz', ''],
  )
  for (let length = 0; length < bytes.length; length++) {
    if (length === 4 + 7 || length === bytes.length - 4) continue // ends between two parts
    assert.throws(() => decodeParts(bytes.subarray(0, length)), undefined, `${length}`)
  }
})

test('a bitmap is a set of numbers', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(90), fc.nat(90), fc.boolean())), (ranges) => {
      const bitmap = new Bitmap(91)
      const set = new Set<number>()
      for (const [a, b, add] of ranges) {
        if (add) bitmap.addRange(Math.min(a, b), Math.max(a, b))
        else bitmap.remove(a)
        if (!add) set.delete(a)
        for (let n = Math.min(a, b); add && n < Math.max(a, b); n++) set.add(n)
      }
      const members: number[] = []
      for (let n = bitmap.next(0); n !== -1; n = bitmap.next(n + 1)) members.push(n)
      assert.equal(
        members,
        [...set].sort((a, b) => a - b),
      )
      assert.is(bitmap.count(10, 50), members.filter((n) => n >= 10 && n < 50).length)
    }),
  )
})

test('a location table comes back entry by entry', () => {
  const numbers = fc.array(fc.option(fc.nat(1000)), { maxLength: 40 })
  fc.assert(
    fc.property(numbers, (entries) => {
      const table = new LocationTable(entries.length)
      for (const [index, n] of entries.entries()) if (n !== null) table.set(index, aLocation(n))
      const decoded = LocationTable.decode(table.encode())
      for (const [index, n] of entries.entries()) {
        assert.equal(plain(decoded.get(index)), n === null ? undefined : plain(aLocation(n)))
      }
      assert.is(
        decoded.isAllEmpty(),
        entries.every((n) => n === null),
      )
    }),
  )
})

test('equal maps have equal bytes, whatever was written to them before', () => {
  const [first, second] = [new LocationTable(8), new LocationTable(8)]
  for (const n of [5, 4, 3]) first.set(n, aLocation(n))
  for (const n of [0, 1, 2, 7]) second.set(n, aLocation(n + 50))
  for (const n of [0, 1, 2, 7]) second.clear(n)
  for (const n of [3, 4, 5]) second.set(n, aLocation(n))
  assert.ok(first.encode().equals(second.encode()))
})

test('bytes that are no table are refused', () => {
  const bytes = LocationTable.from([aLocation(1), aLocation(2)]).encode()
  assert.throws(() => LocationTable.decode(bytes.subarray(0, bytes.length - 1)))
  const wrongPack = Buffer.from(bytes)
  wrongPack.writeUInt32LE(9, bytes.length - 16)
  assert.throws(() => LocationTable.decode(wrongPack))
})

test('what the codec packs any reader unpacks, and noise stays raw', () => {
  const codec = new ChunkCodec()
  for (const raw of [Buffer.alloc(5000, 'ab'), Buffer.alloc(1), Buffer.from('x'.repeat(300_000))]) {
    const packed = codec.compress(raw)
    const alone = compress(raw)
    assert.is(packed === undefined, alone === undefined)
    if (packed === undefined || alone === undefined) continue
    assert.ok(raw.equals(zstdDecompressSync(packed)))
    assert.ok(raw.equals(codec.decompress(alone, raw.length)))
    assert.ok(raw.equals(decompress(packed, raw.length)))
  }
  assert.is(codec.compress(randomBytes(4096)), undefined)
})

test('the codec reaches the handles of this version of Node: without them transfers are slower by a third', () => {
  assert.ok(new ChunkCodec().passesCheck())
})

test('a codec survives bytes that are no zstd, and a length that is wrong', () => {
  const codec = new ChunkCodec()
  const raw = Buffer.alloc(5000, 'ab')
  const packed = Buffer.from(codec.compress(raw)!)
  assert.throws(() => codec.decompress(Buffer.from('no zstd at all'), 100))
  assert.throws(() => codec.decompress(packed, raw.length - 1))
  assert.throws(() => codec.decompress(packed, raw.length + 1))
  assert.throws(() => codec.decompress(packed.subarray(0, 10), raw.length))
  assert.ok(raw.equals(codec.decompress(packed, raw.length)))
})

test('a pack gives its blobs back, by location and by footer', () => {
  const raws = [Buffer.alloc(9000, 'text '), randomBytes(700), Buffer.alloc(512, 1)]
  const builder = new PackBuilder(keys, `${SESSION}/0000000000000000`, Buffer.alloc(20_000))
  for (const raw of raws) assert.ok(builder.append('chunk', keys.chunkId(raw), packBlob(raw)))
  const page = Buffer.from('a page')
  assert.ok(builder.append('page', keys.pageId(page), packBlob(page)))
  const bytes = builder.finish()
  const reader = new PackReader(keys, bytes, 'pack')
  const sealed = (blob: BlobLocation) => bytes.subarray(blob.offset, blob.offset + blob.storedBytes)
  for (const [index, raw] of raws.entries()) {
    const blob = builder.blobs[index]!
    assert.ok(raw.equals(reader.open('chunk', blob, sealed(blob))))
    assert.throws(() => reader.open('page', blob, sealed(blob)), undefined, 'a chunk is no page')
  }
  const footer = reader.footer(bytes.subarray(-300), bytes.length)
  assert.equal(
    footer.map(({ kind }) => kind),
    ['chunk', 'chunk', 'chunk', 'page'],
  )
  assert.equal(
    footer.map(({ blob }) => blob.offset),
    builder.blobs.map(({ offset }) => offset),
  )
})

test('a pack takes no more than its buffer holds, and is whole then', () => {
  const builder = new PackBuilder(keys, `${SESSION}/0000000000000000`, Buffer.alloc(5000))
  let count = 0
  for (let raw = randomBytes(700); builder.append('chunk', keys.chunkId(raw), packBlob(raw)); raw = randomBytes(700))
    count++
  const bytes = builder.finish()
  assert.is(count, 6)
  assert.ok(bytes.length <= 5000)
  assert.is(new PackReader(keys, bytes, 'pack').footer(bytes, bytes.length).length, count)
})

test('two packs never share a key', () => {
  const make = () => {
    const builder = new PackBuilder(keys, `${SESSION}/0000000000000000`, Buffer.alloc(5000))
    builder.append('chunk', keys.chunkId(Buffer.alloc(32)), packBlob(Buffer.alloc(32)))
    return Buffer.from(builder.finish())
  }
  assert.not.ok(make().subarray(40, 80).equals(make().subarray(40, 80)))
})

test('a sealed object opens for its own name, kind and repository only', () => {
  const bytes = sealObject(keys, 'root', 'roots/a', Buffer.from('payload'))
  assert.is(Buffer.from(openObject(keys, 'root', 'roots/a', bytes, 'here')).toString(), 'payload')
  const stranger = new RepositoryKeys('cd'.repeat(16), keys.master)
  for (const open of [
    () => openObject(keys, 'root', 'roots/b', bytes, 'here'),
    () => openObject(keys, 'tombstone', 'roots/a', bytes, 'here'),
    () => openObject(stranger, 'root', 'roots/a', bytes, 'here'),
    () => openObject(keys, 'root', 'roots/a', bytes.subarray(0, 20), 'here'),
  ]) {
    try {
      open()
      assert.unreachable()
    } catch (error) {
      assert.ok(error instanceof CorruptionError && error.reason === 'RootCorrupt' && error.message.includes('here'))
    }
  }
})

test('a key slot opens for its own name and secret only', async () => {
  const bytes = await wrapWithPassphrase('slot-1', 'password', 'pässword', keys, { N: 16, r: 1, p: 1 })
  const slot = decodeSlot(bytes)!
  assert.ok(Buffer.from(keys.master).equals((await unwrapSlot('slot-1', slot, 'pässword'))!))
  assert.ok(await unwrapSlot('slot-1', slot, 'pa\u0308ssword'), 'the same letters in another spelling')
  assert.is(await unwrapSlot('slot-2', slot, 'pässword'), undefined)
  assert.is(await unwrapSlot('slot-1', slot, 'password'), undefined)
  assert.is(await unwrapSlot('slot-1', { ...slot, kind: 'recovery-passphrase' } as typeof slot, 'pässword'), undefined)
})

test('a planted slot that asks for absurd work is passed over', async () => {
  const bytes = await wrapWithPassphrase('slot-1', 'password', 'x', keys, { N: 16, r: 1, p: 1 })
  const slot = decodeSlot(bytes)!
  for (const scrypt of [
    { N: 2 ** 30, r: 8, p: 1 },
    { N: 16, r: 1, p: 100_000 },
  ]) {
    assert.is(await unwrapSlot('slot-1', { ...slot, scrypt: { ...scrypt, salt: '' } } as typeof slot, 'x'), undefined)
  }
  assert.is(decodeSlot(Buffer.from('no json')), undefined)
})

function plain(location: BlobLocation | undefined): object | undefined {
  return location && { ...location, id: Buffer.from(location.id).toString('hex') }
}

test.run()
