// An attacker who can write the bucket can plant key slots. There is a bound on what they make a reader hold and compute, the event loop goes
// on meanwhile, and the right password opens the repository all the same.

import { scryptSync } from 'node:crypto'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MiB } from '#shared/kernel/units.ts'
import { KeyCache, openRepository, requireRepository } from '#shared/repository/core/repository.ts'
import { decodeSlot } from '#shared/repository/format/decode-slot.ts'
import {
  MOST_SLOT_WORK_BYTES,
  MOST_WORK_BYTES,
  slotWorkBytes,
  wrapWithPassphrase,
} from '#shared/repository/format/key-slot.ts'
import { planTrials } from '#shared/repository/format/slot-trials.ts'
import { MemoryObjectStore } from '#shared/repository/stores/memory/store.ts'
import { access, EngineWorld } from '#test/support/engine-world.ts'
import { reasonOf } from '#test/support/reason.ts'

const test = suite('engine: key slots')
const CREATED_MS = 1_700_000_000_000

/** A repository with one slot of the right password. Counts what is read of it. */
async function aRepository() {
  const store = new CountingStore(CREATED_MS)
  const { repositoryId } = await new EngineWorld(store).repositories.ensure(access, undefined)
  store.objects.get('config')!.modifiedMs = CREATED_MS
  store.reads = []
  return { store, repositoryId }
}

class CountingStore extends MemoryObjectStore {
  reads: string[] = []
  bytesRead = 0
  time: { nowMs: number }

  constructor(nowMs: number) {
    const time = { nowMs }
    super({ nowMs: () => time.nowMs })
    this.time = time
  }

  override async getRange(key: string, offset: number, length: number, signal?: AbortSignal) {
    this.reads.push(key)
    const bytes = await super.getRange(key, offset, length, signal)
    this.bytesRead += bytes?.length ?? 0
    return bytes
  }

  override async get(key: string, signal?: AbortSignal) {
    const bytes = await super.get(key, signal)
    this.reads.push(key)
    this.bytesRead += bytes?.length ?? 0
    return bytes
  }
}

const slotText = (cost: { N: number; r: number; p: number }, kind = 'password') =>
  Buffer.from(
    JSON.stringify({
      format: 'dormouse-repository-key',
      version: 1,
      kind,
      scrypt: { ...cost, salt: Buffer.alloc(32, 1).toString('base64') },
      wrapped: Buffer.alloc(48).toString('base64'),
    }),
  )
const name = (repositoryId: string, n: number) => `keys/${repositoryId}-${n.toString(16).padStart(8, '0')}`
const EXPENSIVE = { N: 2 ** 16, r: 8, p: 8 }

test('a slot of the highest cost is worth as much as the bound says, and one of more is never tried', () => {
  assert.is(slotWorkBytes(decodeSlot(slotText(EXPENSIVE))!), MOST_SLOT_WORK_BYTES)
  const tooMuch = [
    { N: 2 ** 18, r: 8, p: 16 },
    { N: 2 ** 17, r: 8, p: 1 },
    { N: 2 ** 16, r: 8, p: 9 },
    { N: 2 ** 30, r: 2 ** 30, p: 2 ** 30 },
    { N: 3, r: 1, p: 1 },
    { N: 16, r: 0, p: 1 },
    { N: -16, r: -1, p: 1 },
    { N: 16.5, r: 1, p: 1 },
  ]
  for (const cost of tooMuch) assert.is(slotWorkBytes(decodeSlot(slotText(cost))!), undefined, JSON.stringify(cost))
})

/** One slot of each form, with values that none of Dormouse's secrets opens. */
const base64 = (bytes: number) => Buffer.alloc(bytes, 1).toString('base64')
const FORMS: Record<string, object> = {
  passphrase: { kind: 'recovery-passphrase', scrypt: { N: 2, r: 1, p: 1, salt: base64(32) }, wrapped: base64(48) },
  rsa: { kind: 'recovery-public-key', algorithm: 'rsa-oaep-sha256', wrapped: base64(256) },
  x25519: {
    kind: 'recovery-public-key',
    algorithm: 'x25519-hkdf-aes-256-gcm',
    ephemeral: base64(44),
    wrapped: base64(48),
  },
}
const textOf = (fields: object) =>
  Buffer.from(JSON.stringify({ format: 'dormouse-repository-key', version: 1, ...fields }))
/** What `Buffer.from` would make 100 MB of, and other values that are no text or number of a slot. */
const STRANGE: unknown[] = [{ length: 1e8 }, [1e8], 1e8, null, true, '', 'AAAA', '*'.repeat(64), { toString: 1 }]

for (const [form, fields] of Object.entries(FORMS)) {
  test(`a slot of the form ${form} in which a field has another type or length is no slot`, () => {
    assert.equal(decodeSlot(textOf({ ...fields, mac: 'm' })), { ...fields, mac: 'm' })
    assert.equal(decodeSlot(textOf({ ...fields, mac: { length: 1e8 }, another: [1] })), fields)
    for (const name of Object.keys(fields)) {
      for (const value of STRANGE) {
        assert.is(decodeSlot(textOf({ ...fields, [name]: value })), undefined, `${name} ${JSON.stringify(value)}`)
      }
    }
    const { scrypt } = fields as { scrypt?: object }
    for (const name of Object.keys(scrypt ?? {})) {
      for (const value of STRANGE) {
        if (typeof value === 'number' && name !== 'salt') continue // a bound of its own
        const strange = { ...fields, scrypt: { ...scrypt, [name]: value } }
        assert.is(decodeSlot(textOf(strange)), undefined, `${name} ${JSON.stringify(value)}`)
      }
    }
  })
}

/** As deep as a slot's or a config's bytes allow. */
const DEEP = `${'['.repeat(7700)}${']'.repeat(7700)}`

test('a slot with a field that is nested deep opens, again too, and a planted one stops nobody', async () => {
  const { store, repositoryId } = await aRepository()
  const [own] = [...store.objects.keys()].filter((key) => key.startsWith('keys/'))
  const { body } = store.objects.get(own!)!
  const deep = Buffer.from(
    Buffer.from(body)
      .toString('utf8')
      .replace(/\}\s*$/, `,"x":${DEEP}}`),
  )
  store.objects.set(own!, { body: deep, modifiedMs: CREATED_MS })
  const planted = slotText({ N: 2, r: 1, p: 1 })
    .toString('utf8')
    .replace(/"salt":"[^"]*"/, `"salt":${DEEP}`)
  store.objects.set(name(repositoryId, 0), { body: Buffer.from(planted), modifiedMs: CREATED_MS - 1 })
  const cache = new KeyCache()
  for (let n = 0; n < 2; n++) {
    assert.equal((await openRepository(store, access.password, cache))?.damagedSlots, [name(repositoryId, 0)])
  }
})

test('a config of any JSON is refused by a reason', async () => {
  const { store } = await aRepository()
  const text = Buffer.from(store.objects.get('config')!.body).toString('utf8')
  const fields = ['format', 'version', 'repositoryId', 'chunkBytes', 'pageChunks', 'hash', 'compression', 'cipher']
  const lists = ['requiredFeatures', 'optionalFeatures', 'mac']
  for (const field of [...fields, ...lists]) {
    for (const value of [DEEP, '{"toString":1,"valueOf":1}', 'null', '1e999', '"7"', '[]']) {
      const planted = text.replace(new RegExp(`"${field}": ("[^"]*"|\\[\\]|\\d+)`), () => `"${field}": ${value}`)
      assert.ok(planted !== text || value === '[]', field)
      if (planted === text) continue
      store.objects.set('config', { body: Buffer.from(planted), modifiedMs: 0 })
      const isVersion = ['version', 'hash', 'compression', 'cipher'].includes(field)
      const reason = isVersion ? 'RepositoryVersionUnknown' : 'RepositoryConfigCorrupt'
      assert.is(await reasonOf(openRepository(store, access.password)), reason, `${field} ${value.slice(0, 30)}`)
    }
  }
  const newer = text.replace('"version": 1', '"version": 2').replace(/\}\s*$/, `,"x":${DEEP}}`)
  store.objects.set('config', { body: Buffer.from(newer), modifiedMs: 0 })
  assert.is(await reasonOf(openRepository(store, access.password)), 'RepositoryVersionUnknown')
  for (const other of ['null', '7', '"text"', '[]', DEEP, '{}', '{"format":', '']) {
    store.objects.set('config', { body: Buffer.from(other), modifiedMs: 0 })
    assert.is(await reasonOf(openRepository(store, access.password)), 'RepositoryConfigCorrupt', other.slice(0, 30))
  }
})

test('three slots of the highest cost and ten thousand small ones do not keep the right password out', async () => {
  const { store, repositoryId } = await aRepository()
  store.time.nowMs += 1000
  for (let n = 0; n < 3; n++) await store.putIfAbsent(name(repositoryId, n), slotText(EXPENSIVE))
  for (let n = 3; n < 10_003; n++) await store.putIfAbsent(name(repositoryId, n), slotText({ N: 2, r: 1, p: 1 }))
  const opened = await openRepository(store, access.password)
  assert.is(opened?.config.repositoryId, repositoryId)
  assert.ok(store.reads.length <= 70, `${store.reads.length} objects were read`)
  assert.is(await reasonOf(openRepository(store, 'wrong')), 'KeySlotsSuspect')
})

test('what all slots together may cost is bounded, whatever their order', () => {
  const expensive = Array.from({ length: 64 }, (_, n) => ({
    slotId: `dear-${n}`,
    slot: decodeSlot(slotText(EXPENSIVE))!,
    modifiedMs: 0,
  }))
  const usual = { slotId: 'usual', slot: decodeSlot(slotText({ N: 2 ** 15, r: 8, p: 3 }))!, modifiedMs: 5 }
  const work = (found: typeof expensive) =>
    planTrials(found, 'x').reduce((sum, { slot }) => sum + slotWorkBytes(slot)!, 0)
  assert.ok(work(expensive) <= MOST_WORK_BYTES)
  assert.ok(MOST_WORK_BYTES <= 2048 * MiB)
  const plan = planTrials([...expensive, usual], 'x')
  assert.is(plan[0]?.slotId, 'usual', 'what costs as much as ours do comes first')
  assert.ok(work([...expensive, usual]) <= MOST_WORK_BYTES)
  const planted = Array.from({ length: 63 }, (_, n) => ({ ...usual, slotId: `planted-${n}`, modifiedMs: 10 + n }))
  assert.is(planTrials([...planted, usual], 'x')[0]?.slotId, 'usual', 'the oldest comes first')
})

const PEM = '-----BEGIN PRIVATE KEY-----'
const USUAL = { N: 2 ** 15, r: 8, p: 3 }

test('a recovery key is tried, however many passwords there are', () => {
  const slotOf = (slotId: string, kind: string, modifiedMs: number) => ({
    slotId,
    slot: decodeSlot(kind === 'recovery-public-key' ? textOf(FORMS['rsa']!) : slotText(USUAL, kind))!,
    modifiedMs,
  })
  const passwords = Array.from({ length: 40 }, (_, n) => slotOf(`password-${n}`, 'password', n))
  const phrase = slotOf('phrase', 'recovery-passphrase', 100)
  const key = slotOf('key', 'recovery-public-key', 101)
  const names = (secret: string) => planTrials([...passwords, phrase, key], secret).map(({ slotId }) => slotId)
  assert.is(names(PEM)[0], 'key')
  const tried = names('words')
  assert.is(tried.filter((name) => name.startsWith('password-')).length, 16)
  assert.is(tried.at(-1), 'phrase')
  assert.not.ok(tried.includes('key'), 'what only a private key opens is not tried with words')
  // Planted later, of the same kind, and expensive: the owner's slot is tried all the same.
  const planted = Array.from({ length: 9 }, (_, n) => slotOf(`planted-${n}`, 'recovery-passphrase', 200 + n))
  const dear = {
    ...phrase,
    slotId: 'dear',
    slot: decodeSlot(slotText(EXPENSIVE, 'recovery-passphrase'))!,
    modifiedMs: 0,
  }
  const all = planTrials([...planted, dear, ...passwords.slice(0, 16), phrase], 'words').map(({ slotId }) => slotId)
  assert.equal(all, [...passwords.slice(0, 16).map(({ slotId }) => slotId), 'phrase'])
})

test('the event loop goes on while a slot is tried', async () => {
  const { store, repositoryId } = await aRepository()
  const keys = await requireRepository(store, access.password)
  const slotId = `${repositoryId}-00000000`
  await store.putIfAbsent(`keys/${slotId}`, await wrapWithPassphrase(slotId, 'password', 'real', keys.keys))
  let turns = 0
  let going = true
  const turn = () => {
    turns++
    if (going) setImmediate(turn)
  }
  setImmediate(turn)
  await openRepository(store, 'real')
  going = false
  assert.ok(turns > 100, `${turns} turns`)
})

test('a slot that is too long is not read, and one of another shape is no slot', async () => {
  const { store, repositoryId } = await aRepository()
  store.time.nowMs -= 1000
  await store.putIfAbsent(name(repositoryId, 0), Buffer.alloc(4 * MiB, ' '))
  const odd = [
    'null',
    '[]',
    '{}',
    '{"format":"dormouse-repository-key","version":1}',
    '{"format":"dormouse-repository-key","version":1,"kind":"password","scrypt":null,"wrapped":7}',
  ]
  for (const [n, text] of odd.entries()) await store.putIfAbsent(name(repositoryId, n + 1), Buffer.from(text))
  assert.ok(await openRepository(store, access.password))
  assert.ok(store.bytesRead < 64 * 1024, `${store.bytesRead} bytes`)
})

test('a slot that opened is tried first from then on, alone, until it is gone', async () => {
  const { store, repositoryId } = await aRepository()
  const cache = new KeyCache()
  assert.ok(await openRepository(store, access.password, cache))
  const [good] = [...store.objects.keys()].filter((key) => key.startsWith('keys/'))
  // Planted slots look older than it, as in a bucket that was copied.
  store.time.nowMs = CREATED_MS - 1000
  for (let n = 0; n < 200; n++) await store.putIfAbsent(name(repositoryId, n), slotText({ N: 2, r: 1, p: 1 }))
  assert.ok(await openRepository(store, access.password, cache))
  assert.is(await reasonOf(openRepository(store, 'wrong', cache)), 'KeySlotsSuspect')
  await store.delete(good!)
  assert.is(
    await reasonOf(openRepository(store, access.password, cache)),
    'KeySlotsSuspect',
    'a slot that was removed lets nobody in',
  )
})

test('the refusal names the newest slots and what to do, and stays short', async () => {
  const { store, repositoryId } = await aRepository()
  store.time.nowMs += 1000
  for (let n = 0; n < 300; n++) {
    store.time.nowMs++
    await store.putIfAbsent(name(repositoryId, n), slotText({ N: 2, r: 1, p: 1 }))
  }
  const error = await openRepository(store, 'wrong').then(
    () => undefined,
    (thrown: Error) => thrown,
  )
  assert.match(error!.message, 'holds 301 key slots')
  assert.match(error!.message, name(repositoryId, 299))
  assert.ok(error!.message.length < 1000, `${error!.message.length}`)
})

test('a config that is too long is not taken into memory', async () => {
  const { store } = await aRepository()
  store.objects.set('config', { body: Buffer.alloc(8 * MiB, ' '), modifiedMs: 0 })
  store.bytesRead = 0
  assert.is(await reasonOf(openRepository(store, access.password)), 'RepositoryConfigCorrupt')
  assert.ok(store.bytesRead < MiB, `${store.bytesRead} bytes`)
})

test('what a slot costs by its numbers is what scrypt takes', () => {
  assert.is(scryptSync('x', 'y', 32, { N: 16, r: 1, p: 1 }).length, 32)
  assert.is(slotWorkBytes(decodeSlot(slotText({ N: 16, r: 1, p: 1 }))!), 2048)
})

test.run()
