// The contract of the port ObjectStore, for every adapter: memory, folder, S3.

import { randomBytes } from 'node:crypto'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MiB } from '#shared/kernel/units.ts'
import type { ObjectStore } from '#shared/ports/object-store.ts'

/** `open`: returns the same store as another process sees it. The store is empty at first. */
type StoreUnderTest = { store: ObjectStore; open: () => Promise<ObjectStore>; stop: () => Promise<void> }

export function storeSuite(title: string, start: () => Promise<StoreUnderTest>): void {
  const test = suite(title)
  let under: StoreUnderTest
  let store: ObjectStore

  test.before(async () => {
    under = await start()
    store = under.store
  })
  test.after(async () => {
    await under.stop()
  })

  const bytes = (text: string): Buffer => Buffer.from(text, 'utf8')
  const text = (found: Uint8Array | undefined): string | undefined =>
    found === undefined ? undefined : Buffer.from(found).toString('utf8')
  const keysBelow = async (prefix: string, from = store): Promise<string[]> => {
    const keys: string[] = []
    for await (const { key } of from.list(prefix)) keys.push(key)
    return keys
  }

  test('what was put is read back, whole and in parts', async () => {
    assert.is(await store.putIfAbsent('read/a', bytes('0123456789')), true)
    assert.is(text(await store.get('read/a')), '0123456789')
    assert.is(text(await store.getRange('read/a', 3, 4)), '3456')
    assert.is(text(await store.getRange('read/a', 8, 40)), '89', 'fewer at the end')
    assert.is(text(await store.getRange('read/a', 40, 4)), '', 'nothing beyond it')
  })

  test('what was never put is undefined', async () => {
    assert.is(await store.get('nothing/here'), undefined)
    assert.is(await store.getRange('nothing/here', 0, 10), undefined)
  })

  test('an object is written once and left as it is', async () => {
    assert.is(await store.putIfAbsent('once/a', bytes('first')), true)
    assert.is(await store.putIfAbsent('once/a', bytes('second')), false)
    assert.is(text(await store.get('once/a')), 'first')
  })

  test('of many writers at the same key exactly one wins, and all see its bytes', async () => {
    const stores = [store, await under.open(), await under.open()]
    const won = await Promise.all(
      Array.from({ length: 16 }, (_, n) => stores[n % 3]!.putIfAbsent('race/a', bytes(`writer ${n}`))),
    )
    assert.is(won.filter(Boolean).length, 1)
    for (const each of stores) assert.is(text(await each.get('race/a')), `writer ${won.indexOf(true)}`)
  })

  test('another process sees an object at once, in reads and in lists', async () => {
    const other = await under.open()
    await store.putIfAbsent('seen/b', bytes('x'))
    assert.is(text(await other.get('seen/b')), 'x')
    assert.equal(await keysBelow('seen/', other), ['seen/b'])
    await other.delete('seen/b')
    assert.is(await store.get('seen/b'), undefined)
    assert.equal(await keysBelow('seen/'), [])
  })

  test('a list is in key order, with sizes and times, below the prefix only', async () => {
    const before = Date.now()
    const names = ['list/b/2', 'list/a', 'list/b/10', 'list/b-x', 'list/c', 'listing', 'list/b/1']
    for (const [index, name] of names.entries()) await store.putIfAbsent(name, Buffer.alloc(index))
    assert.equal(await keysBelow('list/'), names.filter((name) => name.startsWith('list/')).sort())
    assert.equal(await keysBelow('list/b/'), ['list/b/1', 'list/b/10', 'list/b/2'])
    assert.equal(await keysBelow('list/b/1'), ['list/b/1', 'list/b/10'], 'a prefix may end inside a name')
    assert.equal(await keysBelow('list/b'), ['list/b-x', 'list/b/1', 'list/b/10', 'list/b/2'])
    assert.equal(await keysBelow('list/nothing'), [])
    for await (const found of store.list('list/c')) {
      assert.is(found.bytes, 4)
      assert.ok(Math.abs(found.modifiedMs - before) < 60_000, `written at ${found.modifiedMs}, now ${before}`)
    }
  })

  test('a list goes on beyond a thousand objects', async () => {
    const names = Array.from({ length: 1005 }, (_, n) => `many/${String(n).padStart(5, '0')}`)
    for (let at = 0; at < names.length; at += 50) {
      await Promise.all(names.slice(at, at + 50).map((name) => store.putIfAbsent(name, Buffer.alloc(1))))
    }
    assert.equal(await keysBelow('many/'), names)
  })

  test('a deleted object is gone, and to delete nothing is a success', async () => {
    await store.putIfAbsent('gone/a', bytes('x'))
    await store.delete('gone/a')
    await store.delete('gone/a')
    assert.is(await store.get('gone/a'), undefined)
    assert.is(await store.putIfAbsent('gone/a', bytes('again')), true, 'its name is free again')
  })

  test('empty and large objects keep their bytes', async () => {
    const large = randomBytes(9 * MiB + 7)
    await store.putIfAbsent('size/empty', Buffer.alloc(0))
    await store.putIfAbsent('size/large', large)
    assert.is((await store.get('size/empty'))?.length, 0)
    assert.ok(large.equals((await store.get('size/large')) ?? Buffer.alloc(0)))
    const part = await store.getRange('size/large', 5 * MiB, MiB)
    assert.ok(large.subarray(5 * MiB, 6 * MiB).equals(part ?? Buffer.alloc(0)))
  })

  test('changing the bytes of an answer, or bytes after their put, does not change the store', async () => {
    const body = bytes('mine')
    await store.putIfAbsent('own/a', body)
    body.fill(0)
    const found = await store.get('own/a')
    found?.fill(0)
    assert.is(text(await store.get('own/a')), 'mine')
  })

  test('a part of a larger buffer is put as that part', async () => {
    const whole = bytes('before|inside|after')
    await store.putIfAbsent('part/a', whole.subarray(7, 13))
    assert.is(text(await store.get('part/a')), 'inside')
  })

  test('an aborted signal stops a call with its reason', async () => {
    const reason = new Error('no longer wanted')
    const signal = AbortSignal.abort(reason)
    const calls = [store.get('a', signal), store.putIfAbsent('abort/a', bytes('x'), signal)]
    for (const ended of await Promise.allSettled(calls)) assert.ok('reason' in ended && ended.reason instanceof Error)
    assert.is(await store.get('abort/a'), undefined)
  })

  test('the location names the place and no secret', () => {
    assert.match(store.location, /^[a-z0-9]+:\/\/\S+$/)
  })

  test.run()
}
