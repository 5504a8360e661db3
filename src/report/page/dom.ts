/// <reference lib="dom" />
/// <reference lib="dom.iterable" />

/** What may stand inside an element: text is always set as text, never parsed. */
export type Child = Node | string | number | null | undefined

type Attribute = string | number | boolean | null | undefined | ((event: Event) => void)

/**
 * An element with attributes and children. A function is listened with under the attribute's name (`click`), `true` is an
 * attribute without a value, and false, null and undefined are left out.
 */
export function h<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Readonly<Record<string, Attribute>> = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name, value)
    else if (value === true) element.setAttribute(name, '')
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value))
  }
  append(element, children)
  return element
}

/** Puts `children` in place of what `element` holds. */
export function fill(element: Element, ...children: readonly Child[]): void {
  element.replaceChildren()
  append(element, children)
}

/** Text from the data: on its own as far as the direction of writing goes, so that no mark in it turns what is around it. */
export function quoted(text: string, style = ''): HTMLElement {
  return h('bdi', { class: style || null }, text)
}

function append(element: Element, children: readonly Child[]): void {
  for (const child of children) {
    if (child !== null && child !== undefined) element.append(typeof child === 'number' ? String(child) : child)
  }
}
