// The manifests that a cluster gets, read as objects: a kustomization through kubectl, a plain folder file by file.

import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { parseAllDocuments } from 'yaml'
import type { LooseObject } from '#test/support/loose-object.ts'

const run = promisify(execFile)
const KUSTOMIZATION = 'kustomization.yaml'

/** Every object under `place`, which is a file, a folder or a kustomization. Nothing there: no objects. */
export async function loadManifests(place: string, kubectl: string): Promise<LooseObject[]> {
  if (!existsSync(place)) return []
  if (place.endsWith('.yaml')) return parseManifests(await readFile(place, 'utf8'), place)
  if (existsSync(path.join(place, KUSTOMIZATION))) {
    const built = await run(kubectl, ['kustomize', place], { maxBuffer: 64 * 1024 * 1024 })
    return parseManifests(built.stdout, place)
  }
  const entries = await readdir(place, { withFileTypes: true })
  const wanted = entries.filter((entry) => entry.isDirectory() || entry.name.endsWith('.yaml'))
  const found = await Promise.all(wanted.map((entry) => loadManifests(path.join(place, entry.name), kubectl)))
  return found.flat()
}

function parseManifests(text: string, where: string): LooseObject[] {
  return parseAllDocuments(text).flatMap((document) => {
    const [problem] = document.errors
    if (problem !== undefined) throw new Error(`${where}: ${problem.message}`)
    const object = document.toJS() as LooseObject | null
    return object === null ? [] : [object]
  })
}
