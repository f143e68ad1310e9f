// Reads the YAML of config/ and eventing/ for the tests beside this file.

import { readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { parse, parseAllDocuments } from 'yaml'
import type { LooseObject } from '#test/support/loose-object.ts'

export const FUNCTIONS = ['clone', 'delete', 'download', 'maintenance', 'repository', 'snapshot', 'sweep', 'upload']
export const HEAVY = ['download', 'upload']

function yamlFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.yaml'))
    .map((name) => join(folder, name))
    .sort()
}

/** Every object below a folder, kustomizations and patches left out. */
export function objectsIn(folder: string): LooseObject[] {
  return yamlFiles(folder)
    .filter((file) => basename(file) !== 'kustomization.yaml')
    .flatMap((file) => parseAllDocuments(readFileSync(file, 'utf8')).map((document) => document.toJS() as LooseObject))
    .filter((object) => object?.kind !== undefined)
}

export function ofKind(objects: LooseObject[], kind: string): LooseObject[] {
  return objects.filter((object) => object.kind === kind)
}

export function named(objects: LooseObject[], kind: string, name: string): LooseObject {
  const found = objects.find((object) => object.kind === kind && object.metadata.name === name)
  if (found === undefined) throw new Error(`there is no ${kind} ${name}`)
  return found
}

/** Files beside a kustomization that it does not name: they would not be applied. */
export function forgottenFiles(folder: string): string[] {
  const kustomizations = yamlFiles(folder).filter((file) => basename(file) === 'kustomization.yaml')
  return kustomizations.flatMap((file) => {
    const { resources } = parse(readFileSync(file, 'utf8')) as { resources: string[] }
    const beside = readdirSync(dirname(file)).filter((name) => name.endsWith('.yaml') && name !== 'kustomization.yaml')
    return beside.filter((name) => !resources.includes(name)).map((name) => join(dirname(file), name))
  })
}
