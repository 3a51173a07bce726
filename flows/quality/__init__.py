"""How well the judge tells good masklets from bad ones, on tracks whose true masks are known."""
