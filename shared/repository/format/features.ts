// Features that a repository or a backup was written with, by name. None is known yet: the two lists leave room for later ones.

import { TerminalError } from '#shared/kernel/errors.ts'
import { excerptOf } from '#shared/kernel/excerpt.ts'

/**
 * `requiredFeatures`: a reader that does not know one of these cannot read what follows. `optionalFeatures`: a reader ignores those that
 * it does not know.
 */
export type Features = { requiredFeatures: readonly string[]; optionalFeatures: readonly string[] }

export const NO_FEATURES: Features = { requiredFeatures: [], optionalFeatures: [] }

/** The features that this version of Dormouse knows, besides the format itself. */
const KNOWN: ReadonlySet<string> = new Set()
const MOST_FEATURES = 16
/** Also the form of a source's kind. */
const SHORT_NAME = /^[a-z][a-z0-9-]{0,31}$/

export const isShortName = (name: unknown): name is string => typeof name === 'string' && SHORT_NAME.test(name)

/** Both lists must be there. RangeError: they are not, or are longer than the format allows. */
export function readFeatures({ requiredFeatures, optionalFeatures }: { [field: string]: unknown }): Features {
  return {
    requiredFeatures: requiredFeaturesIn(requiredFeatures),
    optionalFeatures: namesIn('optionalFeatures', optionalFeatures),
  }
}

function namesIn(field: string, list: unknown): string[] {
  if (Array.isArray(list) && list.length <= MOST_FEATURES && list.every(isShortName)) return list
  throw new RangeError(`${field} is no list of up to ${MOST_FEATURES} short names`)
}

/** TerminalError `RepositoryVersionUnknown`: this version does not know a required feature. */
export function requireFeatures({ requiredFeatures }: Features, where: string): void {
  const unknown = requiredFeatures.filter((name) => !KNOWN.has(name))
  if (unknown.length > 0) throw versionUnknown(where, `it requires the feature ${unknown.join(', ')}`)
}

/** RangeError: it is no such list. */
export const requiredFeaturesIn = (list: unknown): string[] => namesIn('requiredFeatures', list)

export const knowsAll = (requiredFeatures: readonly string[]): boolean =>
  requiredFeatures.every((name) => KNOWN.has(name))

/** `what`: the kind, version or feature that was found. */
export function versionUnknown(where: string, what: string): TerminalError {
  return new TerminalError(
    'RepositoryVersionUnknown',
    `${where}: ${excerptOf(what, 200)}, which this Dormouse does not know: a newer one wrote it; use that version or a later one`,
  )
}
