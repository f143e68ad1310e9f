// What the code of a function requests of the API server, and what its ServiceAccount may do: both as `<verb> <resource>`.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { KINDS, type KindName } from '#shared/api/kinds.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { ofKind } from './load.ts'

type Rule = { apiGroups: string[]; resources: string[]; verbs: string[]; resourceNames?: string[] }

/** Rules of every Role and ClusterRole that is bound to the ServiceAccount. */
export function rulesOf(objects: LooseObject[], account: string): Rule[] {
  const bindings = [...ofKind(objects, 'RoleBinding'), ...ofKind(objects, 'ClusterRoleBinding')]
  return bindings
    .filter(({ subjects }) => subjects.some(({ name }: { name: string }) => name === account))
    .flatMap(({ roleRef }) => ofKind(objects, roleRef.kind).filter(({ metadata }) => metadata.name === roleRef.name))
    .flatMap(({ rules }) => rules as Rule[])
}

export function granted(rules: Rule[]): Set<string> {
  return new Set(
    rules.flatMap(({ resources, verbs }) => resources.flatMap((on) => verbs.map((verb) => `${verb} ${on}`))),
  )
}

const VERBS: Record<string, string> = {
  read: 'get',
  list: 'list',
  page: 'list',
  create: 'create',
  patch: 'patch',
  delete: 'delete',
}

function right(verb: string, kind: string, status = false): string {
  return `${verb} ${KINDS[kind as KindName].plural}${status ? '/status' : ''}`
}

/** A step writes its end by patching the object and, if the kind has one, its status subresource. */
function writes(kind: string): string[] {
  const object = [right('patch', kind)]
  return KINDS[kind as KindName].statusSubresource ? [...object, right('patch', kind, true)] : object
}

function usedIn(source: string): string[] {
  const calls = [...source.matchAll(/cluster\s*\.(read|list|page|create|patch|delete)\(\s*'(\w+)'/g)]
  const statuses = [...source.matchAll(/cluster\s*\.patchStatus\(\s*'(\w+)'/g)]
  const outcomes = [...source.matchAll(/(?:writeOutcome|markDone)\(\s*(?:run\.)?deps,\s*'(\w+)'/g)]
  // A step reads its object, and writes its outcome (shared/controllers/controller.ts).
  const controllers = [...source.matchAll(/: Controller<[^>]*> = \{\s*kind: '(\w+)'/g)]
  return [
    ...calls.map(([, call = '', kind = '']) => right(VERBS[call] ?? call, kind)),
    ...statuses.map(([, kind = '']) => right('patch', kind, true)),
    ...outcomes.flatMap(([, kind = '']) => writes(kind)),
    ...controllers.flatMap(([, kind = '']) => [right('get', kind), ...writes(kind)]),
  ]
}

/** Files of a function, and of the shared steps and wiring that they import, directly or through each other. */
function sourcesOf(step: string): string[] {
  const folder = join('functions', step)
  if (!existsSync(folder)) return []
  const found = new Set(readdirSync(folder).map((name) => join(folder, name)))
  for (const file of found) for (const imported of importsOf(file)) found.add(imported)
  return [...found].filter((file) => file.endsWith('.ts'))
}

function importsOf(file: string): string[] {
  const source = readFileSync(file, 'utf8')
  const shared = [...source.matchAll(/from '#shared\/((?:controllers|wiring)\/[\w-]+\.ts)'/g)].map(
    ([, name]) => `shared/${name}`,
  )
  const beside = [...source.matchAll(/from '\.\/([\w-]+\.ts)'/g)].map(([, name]) => join(dirname(file), name ?? ''))
  return [...shared, ...beside]
}

export function usedBy(step: string): Set<string> {
  return new Set(sourcesOf(step).flatMap((file) => usedIn(readFileSync(file, 'utf8'))))
}
