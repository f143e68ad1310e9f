import type { ResourceSelector } from '../actions.ts'

/** In every namespace, with any labels. */
export function everyOne(includedResources: string[]): ResourceSelector {
  return { includedNamespaces: [], excludedNamespaces: [], includedResources, excludedResources: [], selector: '' }
}
