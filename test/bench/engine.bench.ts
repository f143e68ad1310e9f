// How fast the mover moves a volume, and how much memory it needs: 1 GiB of mixed content, and 200 GiB of mostly holes.
// Usage: node test/bench/engine.bench.ts [folder|s3]   (s3: a versitygw on this machine, `make tools` builds it)
// The mover out of build/bundles where there is one. Disks and the store lie in memory (/dev/shm) where there is room.

import { createHash, randomBytes } from 'node:crypto'
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { systemClock } from '#shared/kernel/clock.ts'
import { GiB, HOUR_MS, KiB, MiB } from '#shared/kernel/units.ts'
import { blockSourceOf } from '#shared/movers/block/block-source.ts'
import { createMover, type MoverOptions } from '#shared/movers/process/client.ts'
import type { Extent } from '#shared/ports/disk.ts'
import type { RepositoryAccess } from '#shared/ports/mover.ts'
import type { ObjectStore } from '#shared/ports/object-store.ts'
import { createDiskFile } from '#shared/providers/file/disk.ts'
import { createRepositories } from '#shared/repository/repositories.ts'
import { createS3Store } from '#shared/repository/stores/s3/store.ts'
import { factsOf, access as plainAccess, pointOf } from '#test/support/engine-world.ts'
import { folderSettings, folderStore } from '#test/support/stores.ts'
import { settingsFor, startGateway } from '../contract/store-s3-support.ts'

const BUNDLE = resolve('build/bundles/mover.mjs')
const ENTRY = existsSync(BUNDLE) ? BUNDLE : resolve('shared/movers/process/main.ts')
const TICKS_PER_SECOND = 100

type Volume = { name: string; path: string; capacityBytes: number; extents: Extent[] }
type Place = {
  access: RepositoryAccess
  storeOf: () => ObjectStore
  stop: () => Promise<void>
}

const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : '/tmp', 'dormouse-bench-'))
const never = new AbortController().signal
const idle = { signal: never, kill: never, onProgress: () => {} }
const vmdk = {
  access: { server: '', port: 0, thumbprintSha1: '', user: '', password: '', datastoreMoref: '' },
  fcdId: 'disk',
  snapshotId: 's',
}

/** Two fifths text, 15 % noise, 15 % copies of what came before, the rest holes. */
function mixedVolume(name: string, capacityBytes: number): Volume {
  const path = join(folder, `${name}.img`)
  createDiskFile(path, capacityBytes)
  const file = openSync(path, 'r+')
  const random = randomNumbers(1)
  const words = Array.from({ length: 4000 }, (_, n) =>
    createHash('md5')
      .update(`${n}`)
      .digest('hex')
      .slice(0, 3 + (n % 7)),
  )
  const extents: Extent[] = []
  for (let at = 0; at < capacityBytes; ) {
    const lengthBytes = Math.min(capacityBytes - at, (1 + Math.floor(random() * 16)) * 256 * KiB)
    const kind = random()
    const before = extents[Math.floor(random() * extents.length)]
    if (kind < 0.7) {
      const bytes = Buffer.alloc(lengthBytes)
      if (kind < 0.4) fillWithWords(bytes, words, random)
      else if (kind < 0.55 || before === undefined) randomBytes(lengthBytes).copy(bytes)
      else readSync(file, bytes, 0, Math.min(lengthBytes, before.lengthBytes), before.offsetBytes)
      writeSync(file, bytes, 0, lengthBytes, at)
      extents.push({ offsetBytes: at, lengthBytes })
    }
    at += lengthBytes
  }
  closeSync(file)
  return { name, path, capacityBytes, extents }
}

/** A few hundred KiB in each half GiB. */
function sparseVolume(name: string, capacityBytes: number): Volume {
  const path = join(folder, `${name}.img`)
  createDiskFile(path, capacityBytes)
  const file = openSync(path, 'r+')
  const random = randomNumbers(2)
  const extents: Extent[] = []
  for (let half = 0; half < capacityBytes; half += 512 * MiB) {
    const lengthBytes = (1 + Math.floor(random() * 16)) * 64 * KiB
    const offsetBytes = half + Math.floor(random() * 1000) * 64 * KiB
    writeSync(file, randomBytes(lengthBytes), 0, lengthBytes, offsetBytes)
    extents.push({ offsetBytes, lengthBytes })
  }
  closeSync(file)
  return { name, path, capacityBytes, extents }
}

function fillWithWords(bytes: Buffer, words: string[], random: () => number): void {
  for (let at = 0; at < bytes.length; )
    at += bytes.write(`${words[Math.floor(random() * words.length)]} `, at, 'latin1')
}

function randomNumbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff
    return state / 0x7fff_ffff
  }
}

async function folderPlace(): Promise<Place> {
  const path = join(folder, 'repository')
  const store = folderStore(path)
  const access = { ...plainAccess, store: folderSettings(path) }
  return { access, storeOf: () => store, stop: async () => undefined }
}

async function s3Place(): Promise<Place> {
  const gateway = await startGateway(false)
  const store = settingsFor(gateway.s3)
  return { access: { ...plainAccess, store }, storeOf: () => createS3Store(store), stop: () => gateway.stop() }
}

/** Runs one transfer in a mover of its own and tells what it took. */
async function measured<T>(
  what: string,
  bytes: number,
  options: MoverOptions,
  run: (mover: ReturnType<typeof createMover>) => Promise<T>,
): Promise<T> {
  const mover = createMover(options)
  let peakMib = 0
  let cpuSeconds = 0
  const watch = setInterval(() => {
    const [pid] = readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, 'utf8').trim().split(' ').slice(-1)
    try {
      peakMib = Math.max(
        peakMib,
        Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024,
      )
      const [, fields = ''] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')
      cpuSeconds =
        fields
          .split(' ')
          .slice(11, 13)
          .reduce((sum, ticks) => sum + Number(ticks), 0) / TICKS_PER_SECOND
    } catch {
      // It has ended, or is not there yet.
    }
  }, 20)
  const startedMs = performance.now()
  const result = await run(mover)
  const seconds = (performance.now() - startedMs) / 1000
  clearInterval(watch)
  await mover.close()
  const rate = (bytes / 1e6 / seconds).toFixed(0)
  console.log(
    `${what.padEnd(34)} ${seconds.toFixed(2).padStart(6)} s  ${rate.padStart(6)} MB/s  ${cpuSeconds.toFixed(2).padStart(5)} CPU-s  ${peakMib.toFixed(0).padStart(4)} MiB`,
  )
  return result
}

async function bench(volume: Volume, place: Place): Promise<void> {
  const { access } = place
  const repositories = createRepositories({ storeOf: place.storeOf, clock: systemClock, sourceOf: blockSourceOf })
  await repositories.ensure(access, undefined)
  const moverOn = (path: string, extents: Extent[] | undefined): MoverOptions => ({
    entry: ENTRY,
    env: process.env,
    disks: { provider: 'file', path, extents },
  })
  const source = moverOn(volume.path, volume.extents)
  const data = volume.extents.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0)
  const upload = async (what: string, snapshotId: string, bytes: number, parent: object) => {
    const about = { clusterId: 'c', createdMs: Date.now(), claim: 'a/b' }
    const session = await repositories.newSessionId(access, pointOf(snapshotId, volume.name, about.createdMs), 'bench')
    const base = {
      repository: access,
      disk: vmdk,
      session,
      about,
      source: factsOf(snapshotId, volume.name),
      slice: 1,
      sliceMs: HOUR_MS,
      capacityBytes: volume.capacityBytes,
    }
    const request = { ...base, changedAreas: undefined, parentRoot: undefined, ...parent }
    const outcome = await measured(`${volume.name}: ${what}`, bytes, source, (mover) => mover.upload(request, idle))
    if (outcome.state !== 'sealed') throw new Error('not sealed')
    return outcome.root
  }
  const parentRoot = await upload('first backup', 's1', data, {})
  await upload('again, nothing changed', 's2', data, { parentRoot })
  const changedAreas = volume.extents.filter((_, index) => index % 20 === 0)
  const changedBytes = changedAreas.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0)
  await upload('changed areas, 5 %', 's3', changedBytes, { parentRoot, changedAreas })
  const path = `${volume.path}.restored`
  createDiskFile(path, volume.capacityBytes)
  const target = moverOn(path, undefined)
  const request = {
    repository: access,
    disk: vmdk,
    root: parentRoot,
    sliceMs: HOUR_MS,
    nextChunk: 0,
    targetIsZeroed: true,
  }
  await measured(`${volume.name}: restore`, data, target, (mover) => mover.download(request, idle))
  compare(volume, path)
  rmSync(path)
}

function compare({ path, extents }: Volume, restored: string): void {
  const [a, b] = [openSync(path, 'r'), openSync(restored, 'r')]
  for (const { offsetBytes, lengthBytes } of extents) {
    const [wanted, found] = [Buffer.alloc(lengthBytes), Buffer.alloc(lengthBytes)]
    readSync(a, wanted, 0, lengthBytes, offsetBytes)
    readSync(b, found, 0, lengthBytes, offsetBytes)
    if (!wanted.equals(found)) throw new Error(`${restored} differs at ${offsetBytes}`)
  }
  closeSync(a)
  closeSync(b)
}

const [kind = 'folder'] = process.argv.slice(2)
const place = kind === 's3' ? await s3Place() : await folderPlace()
console.log(`store: ${kind}, mover: ${ENTRY}; rates count the bytes that hold data`)
try {
  await bench(mixedVolume('1 GiB mixed', GiB), place)
  await bench(sparseVolume('200 GiB sparse', 200 * GiB), place)
} finally {
  await place.stop()
  rmSync(folder, { recursive: true, force: true })
}
