/** One `\boxed{…}`: it opens at `open`, holds [from, to) and closes before `close`. */
export interface Box {
  readonly open: number
  readonly from: number
  readonly to: number
  readonly close: number
}

const BOX = /\\(?:boxed|fbox|framebox)\s*/g

/** The outermost boxes in order: balanced braces, or one bare token; a box cut off by the end of the text holds the rest. */
export function boxes(text: string): Box[] {
  const found: Box[] = []
  BOX.lastIndex = 0
  for (let match = BOX.exec(text); match; match = BOX.exec(text)) {
    const box = boxAt(text, match.index, match.index + match[0].length)
    if (!box) continue
    found.push(box)
    BOX.lastIndex = box.close
  }
  return found
}

function boxAt(text: string, open: number, brace: number): Box | null {
  if (text[brace] !== '{') {
    const bare = /^[^\s${}\\.,]+/.exec(text.slice(brace, brace + 40))
    return bare ? { open, from: brace, to: brace + bare[0].length, close: brace + bare[0].length } : null
  }
  let depth = 0
  for (let i = brace; i < text.length; i++) {
    if (text[i] === '\\' && /[{}\\]/.test(text[i + 1] ?? '')) i++
    else if (text[i] === '{') depth++
    else if (text[i] === '}' && --depth === 0) return { open, from: brace + 1, to: i, close: i + 1 }
  }
  const end = /\$|\\\)|\\\]|\n/.exec(text.slice(brace + 1))
  const to = end ? brace + 1 + end.index : text.length
  return { open, from: brace + 1, to, close: to }
}
