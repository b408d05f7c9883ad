"""What was solved comes back before it is forgotten: cards, when each is due, and a day's portion of them."""
